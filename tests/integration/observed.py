"""Two sidecars, all that can happen to them, and a Prometheus that looks on."""

from __future__ import annotations

import datetime as dt
import os
import signal
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from OpenSSL import SSL

from sidecar.injector.patch import PROMETHEUS as ANNOTATIONS
from tests.integration.callers import ANSWER, REQUEST, ask, tcp
from tests.integration.conftest import (
    API,
    FRONTEND,
    Application,
    Town,
    curl,
    data_port,
    read_to_end,
    serving,
)
from tests.support.deadlines import eventually
from tests.support.pki import identity, new_authority
from tests.support.ports import free_port
from tests.support.prometheus import Prometheus, pod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.pki import Pair
    from tests.support.sidecars import Sidecar

BILLING = "spiffe://example.org/ns/shop/sa/billing"
STRANGER = "spiffe://example.org/ns/crm/sa/reports"
# Below what the alert allows, and not in the last tenth, in which it would not be ready.
SOON = dt.timedelta(minutes=9)
POLICY: dict[str, Any] = {
    "default": "deny",
    "rules": [
        {"name": "frontend-calls-api", "action": "allow", "peers": [FRONTEND]},
        {"name": "old-callers", "action": "allow", "peers": ["unauthenticated"]},
        {
            "name": "reports-soon",
            "action": "allow",
            "peers": [STRANGER],
            "dry_run": True,
        },
    ],
}


@frozen
class Observed:
    """The stage. The api is strict, but for its second port, which is permissive."""

    town: Town
    api: Sidecar
    frontend: Sidecar
    prometheus: Prometheus
    kept: ExitStack = field(factory=ExitStack)
    """Connections that stay open."""

    def let_in(self) -> None:
        """The frontend calls the api, as it should."""
        answer = curl(f"http://127.0.0.1:{data_port(self.frontend)}/orders")
        assert answer.stdout.encode() == ANSWER, answer.stderr

    def keep_one_open(self) -> None:
        """A connection of the frontend is open, and says nothing."""
        sock = self.kept.enter_context(tcp(data_port(self.frontend)))
        sock.sendall(REQUEST[:10])

    def denied(self) -> None:
        """A neighbour with a good certificate calls, and no rule lets it in."""
        self._refused(self.town.svid(STRANGER))

    def without_certificate(self) -> None:
        """A caller shows none."""
        self._refused(None)

    def impostor(self) -> None:
        """Another authority signs names of our trust domain."""
        elsewhere = Town(self.town.folder, new_authority())
        self._refused(elsewhere.svid(FRONTEND, name="impostor"))

    def _refused(self, own: Pair | None) -> None:
        with suppress(SSL.Error):
            ask(data_port(self.api), own)
            raise AssertionError("it was let in")

    def plaintext(self) -> None:
        """Two callers without TLS: the strict port refuses, the permissive one does not."""
        with tcp(data_port(self.api)) as sock, suppress(ConnectionError):
            sock.sendall(REQUEST)
            assert read_to_end(sock) == b""
        with tcp(self.permissive_port) as sock:
            sock.sendall(REQUEST)
            assert read_to_end(sock).endswith(ANSWER)

    @property
    def permissive_port(self) -> int:
        listen = self.api.configuration["inbound"]["listeners"][1]["listen"]
        return int(listen.rpartition(":")[2])

    def reload(self) -> None:
        """A policy is broken, and refused; then it is mended with one more rule."""
        self.api.write_policy({**POLICY, "default": "maybe"})
        assert self.api.post("/reload")[0] == 422

    def mend(self) -> None:
        """The policy is good again, and another."""
        more = {"name": "nobody", "action": "deny", "peers": ["spiffe://example.org/x"]}
        self.api.write_policy({**POLICY, "rules": [*POLICY["rules"], more]})
        assert self.api.post("/reload")[0] == 200

    def crash(self) -> None:
        """One of the two workers is killed."""
        tasks = Path(f"/proc/{self.api.pid}/task").glob("*/children")
        victim = min(int(pid) for task in tasks for pid in task.read_text().split())
        os.kill(victim, signal.SIGKILL)
        eventually(
            lambda: self.api.metrics()["sidecar_worker_restarts_total"] >= 1,
            "its end is counted",
        )
        self.api.wait_until_ready()

    def everything(self) -> None:
        """All of it, after which every panel and most alerts have something to show."""
        self.crash()  # first, as it takes with it what it has counted since its last report
        self.keep_one_open()
        for _ in range(8):
            self.let_in()
            self.without_certificate()
        self.denied()
        self.impostor()
        self.plaintext()
        self.reload()
        self.mend()


@contextmanager
def observed(folder: Path) -> Iterator[Observed]:
    """Run two sidecars, and a Prometheus that has seen both."""
    town = Town(folder)
    ports = [free_port() for _ in range(3)]
    telemetry = [{"listen": f"127.0.0.1:{each}"} for each in ports]
    pods = [
        # As injection annotates a pod, but that two of them share an address here.
        pod("api-7d9f", "shop", {**ANNOTATIONS, "prometheus.io/port": str(ports[0])}),
        pod(
            "frontend-5c4b",
            "shop",
            {**ANNOTATIONS, "prometheus.io/port": str(ports[1])},
        ),
        pod("batch-1", "shop", {"prometheus.io/port": str(ports[2])}),
    ]
    with (
        serving() as application,
        serving() as old,
        _api(town, application, old, telemetry[0]) as api,
        town.client(data_port(api), telemetry=telemetry[1]) as frontend,
        Prometheus(folder, pods) as prometheus,
        Observed(town, api, frontend, prometheus).kept as kept,
    ):
        prometheus.wait_until_scraped(2)
        yield Observed(town, api, frontend, prometheus, kept)


def _api(
    town: Town, application: Application, old: Application, telemetry: dict[str, str]
) -> Sidecar:
    soon = town.svid(BILLING, lifetime=SOON)
    names = {
        "certificate_chain": str(soon.certificate_chain),
        "private_key": str(soon.private_key),
    }
    listeners = [
        {"listen": f"127.0.0.1:{free_port()}", "destination": f"127.0.0.1:{each.port}"}
        for each in (application, old)
    ]
    return town.server(
        application.port,
        identity={
            **identity(town.folder, API, town.authority),
            "additional": {"billing": names},
        },
        inbound={
            "listeners": listeners,
            "ports": {old.port: {"mode": "permissive", "identity": "billing"}},
        },
        policy=POLICY,
        telemetry=telemetry,
        workers=2,
    )
