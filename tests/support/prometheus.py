"""Prometheus itself, with the scrape configuration and the alerts that we ship."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.deadlines import eventually
from tests.support.ports import free_port
from tests.support.processes import ROOT, Process
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SCRAPE = ROOT / "deploy" / "k8s" / "scrape.yaml"
ALERTS = ROOT / "deploy" / "k8s" / "alerts" / "sidecar-pods.yaml"

Series = dict[str, Any]


def pod(name: str, namespace: str, annotations: Mapping[str, str]) -> dict[str, Any]:
    """Give a pod as Prometheus discovers it: with all that it is told in labels."""
    meta = "__meta_kubernetes"
    labels = {
        f"{meta}_namespace": namespace,
        f"{meta}_pod_name": name,
        f"{meta}_pod_ip": "127.0.0.1",
        f"{meta}_pod_phase": "Running",
        f"{meta}_pod_node_name": "node-1",
    }
    for key, value in annotations.items():
        labels[f"{meta}_pod_annotation_{re.sub('[^a-zA-Z0-9]', '_', key)}"] = value
    # The port of its application: which one to scrape, the annotations say.
    return {"targets": ["127.0.0.1:8080"], "labels": labels}


class Prometheus(Process):
    """A Prometheus of its own that scrapes these pods as `scrape.yaml` has it.

    Its alerts are ours, but fire at once: `for` is left out.
    """

    def __init__(self, folder: Path, pods: Sequence[Mapping[str, Any]]) -> None:
        self._port = free_port()
        scrape = yaml.safe_load(SCRAPE.read_text())
        (folder / "pods.json").write_text(json.dumps(pods))
        for each in scrape:
            del each["kubernetes_sd_configs"]
            each["file_sd_configs"] = [{"files": [str(folder / "pods.json")]}]
        rules = yaml.safe_load(ALERTS.read_text())
        for group in rules["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        (folder / "alerts.yaml").write_text(yaml.safe_dump(rules))
        intervals = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        configuration = {
            "global": {**intervals, "evaluation_interval": "1s"},
            "rule_files": [str(folder / "alerts.yaml")],
            "scrape_configs": scrape,
        }
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(configuration))
        super().__init__(
            [
                require("prometheus"),
                f"--config.file={folder / 'prometheus.yaml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
                "--log.level=warn",
            ],
            folder,
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def wait_until_scraped(self, pods: int) -> None:
        """Return when so many pods have been, twice: a rate needs two samples."""
        eventually(
            lambda: self.query(f"count(sum_over_time(up[1m]) > 1) == {pods}"),
            f"{self.name} scraped {pods} pods",
            20,
        )

    def query(self, expr: str) -> list[Series]:
        """Give the series that an instant query has as its answer now."""
        answer = self.get("query", query=expr)
        result: list[Series] = answer["result"]
        return result

    def query_range(self, expr: str, begin: float, end: float) -> list[Series]:
        """Give the series between two moments, with 120 points at most."""
        step = max((end - begin) / 120, 0.5)
        answer = self.get("query_range", query=expr, start=begin, end=end, step=step)
        result: list[Series] = answer["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """Give all alerts, each with its state and what it says."""
        return [
            rule for group in self.get("rules")["groups"] for rule in group["rules"]
        ]

    def firing(self) -> set[str]:
        """Name the alerts that fire."""
        return {rule["name"] for rule in self.rules() if rule["state"] == "firing"}

    def get(self, path: str, **parameters: object) -> Any:
        """Ask its API; it answers with an error for a query that is none."""
        self.check_running()
        words = urllib.parse.urlencode(parameters)
        url = f"{self.url}/api/v1/{path}?{words}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            # 503 while it starts.
            if error.code == 503:
                return {"result": [], "groups": []}
            raise AssertionError(f"{parameters}: {error.read().decode()}") from None
        except urllib.error.URLError:  # it does not listen yet
            return {"result": [], "groups": []}
