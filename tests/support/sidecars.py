"""The sidecar as its users run it: a process with configuration files."""

from __future__ import annotations

import http.client
import json
import os
import sys
from typing import TYPE_CHECKING, Any, Self

import yaml
from attrs import frozen
from prometheus_client.parser import text_string_to_metric_families

from tests.support.deadlines import eventually
from tests.support.ports import free_port
from tests.support.processes import Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

Record = dict[str, Any]


@frozen
class Samples:
    """One scrape of /metrics."""

    values: Mapping[tuple[str, frozenset[tuple[str, str]]], float]

    @classmethod
    def parse(cls, text: str) -> Samples:
        return cls(
            {
                (sample.name, frozenset(sample.labels.items())): sample.value
                for family in text_string_to_metric_families(text)
                for sample in family.samples
            }
        )

    def __getitem__(self, name: str) -> float:
        """Give the sum of all series of that name, whatever their labels."""
        return self.sum(name)

    def sum(self, name: str, **labels: str) -> float:
        """Give the sum of the series that have these labels, among others.

        Raises:
            KeyError: there is no such series; one that counts nothing yet is 0.
        """
        found = [
            value
            for (series, its_labels), value in self.values.items()
            if series == name and labels.items() <= its_labels
        ]
        if not found:
            raise KeyError(f"no series {name} {labels}")
        return sum(found)

    def names(self) -> frozenset[str]:
        return frozenset(name for name, _ in self.values)


class Sidecar(Process):
    """`sidecar run` with these settings; ready when the `with` block begins.

    Args:
        folder: where its files go; relative paths in the settings start there.
        configuration: what sidecar.yaml says. Ports for admin and telemetry are
            chosen when it names none.
        policy: what policy.yaml says; without it the configuration names its own.
        name: tells two sidecars of one folder apart.
        env: variables beside those of the test itself.
        ready: False starts it without waiting, to see it fail or wait.
    """

    program: tuple[str, ...] = (sys.executable, "-m", "sidecar", "run", "--config")

    def __init__(
        self,
        folder: Path,
        configuration: Mapping[str, Any],
        policy: Mapping[str, Any] | None = None,
        name: str = "sidecar",
        *,
        env: Mapping[str, str] | None = None,
        ready: bool = True,
    ) -> None:
        self.configuration_file = folder / f"{name}.yaml"
        self.policy_file = folder / f"{name}-policy.yaml"
        self._ready = ready
        settings = dict(configuration)
        for listener in ("admin", "telemetry"):
            settings.setdefault(listener, {"listen": f"127.0.0.1:{free_port()}"})
        if policy is not None:
            settings["policy"] = self.policy_file.name
            self.write_policy(policy)
        self.write_configuration(settings)
        command: list[str | Path] = [*self.program, self.configuration_file]
        super().__init__(command, folder, name, {**os.environ, **(env or {})})  # noqa: TID251

    def __enter__(self) -> Self:
        super().__enter__()
        if self._ready:
            try:
                self.wait_until_ready()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def write_configuration(self, configuration: Mapping[str, Any]) -> None:
        self.configuration = dict(configuration)
        _write_yaml(self.configuration_file, configuration)

    def write_policy(self, policy: Mapping[str, Any]) -> None:
        _write_yaml(self.policy_file, policy)

    def wait_until_ready(self, seconds: float = 15) -> None:
        """Return when /readyz says so; fail when the process ends before."""

        def is_ready() -> bool:
            self.check_running()
            try:
                return self.get("/readyz")[0] == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False

        eventually(is_ready, f"{self.name} is ready", seconds)

    def get(self, path: str, listener: str = "telemetry") -> tuple[int, str]:
        """Ask the telemetry or the admin listener; give the status and the body."""
        return self._request("GET", path, listener)

    def post(self, path: str, listener: str = "admin") -> tuple[int, str]:
        return self._request("POST", path, listener)

    def metrics(self) -> Samples:
        status, text = self.get("/metrics")
        assert status == http.HTTPStatus.OK, text
        return Samples.parse(text)

    def access_records(self) -> list[Record]:
        """Give the access records so far; an unfinished last line is not one yet."""
        complete, _, _ = self.output().rpartition("\n")
        lines: Iterable[Record] = map(json.loads, complete.splitlines())
        return [line for line in lines if "outcome" in line]

    def wait_for_records(self, count: int, seconds: float = 10) -> list[Record]:
        """Give the access records, when there are that many."""

        def enough() -> list[Record] | None:
            records = self.access_records()
            return records if len(records) >= count else None

        return eventually(enough, f"{self.name} wrote {count} access records", seconds)

    def _request(self, method: str, path: str, listener: str) -> tuple[int, str]:
        host, _, port = self.configuration[listener]["listen"].rpartition(":")
        connection = http.client.HTTPConnection(host.strip("[]"), int(port), timeout=5)
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()


def _write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    # By renaming, as whoever watches the file may read it at any time.
    fresh = path.with_suffix(".new")
    fresh.write_text(yaml.safe_dump(dict(content), sort_keys=False))
    fresh.replace(path)
