"""Ensures that the example shop does what its README says.

Pods as `sidecar inject` has made them, with the ConfigMaps of the chart and the Secrets
of `secrets.sh`: nothing here says who may call whom, but the example's values.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from attrs import frozen

from tests.netns.calling import turned_away
from tests.netns.cluster import Cluster, scraped
from tests.support.deadlines import eventually
from tests.support.examples import Example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.redirect.model import Backend
    from tests.netns.kubelet import Kubelet
    from tests.netns.pods import Pod

WORKLOADS = ("shop/frontend", "shop/api", "shop/report", "payments/payments")
API, FRONTEND, REPORT = (
    f"spiffe://cluster.local/ns/shop/sa/{name}"
    for name in ("api", "frontend", "report")
)
GET = ("python", "/app/get.py")


@frozen
class Shop:
    """All that goes on running, and a pod that is not in the mesh."""

    cluster: Cluster
    frontend: Kubelet
    api: Kubelet
    payments: Kubelet
    visitor: Pod

    def visit(self, family: int) -> str:
        """Ask the shop as its visitors do."""
        return self.visitor.ask(self.cluster.services["shop/frontend"][family], 80)


@pytest.fixture(scope="module")
def shop(
    backends: list[Backend], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("shop")
    example = Example.made("shop", folder)
    objects = [
        *example.rendered(),
        *example.secrets("cluster.local", *WORKLOADS),
        *example.injected(),
    ]
    with ExitStack() as stack:
        cluster = Cluster.new(objects, folder, backends[0], stack)
        visitor = cluster.hub.pod("visitor")
        pods = [
            cluster.start("Deployment", full)
            for full in ("payments/payments", "shop/api", "shop/frontend")
        ]
        for pod in pods:
            (container,) = pod.manifest["spec"]["containers"]
            name = container["name"]
            ready = pod.probe
            eventually(lambda: ready(name, "readinessProbe"), f"{name} is ready")  # noqa: B023
        payments, api, frontend = pods
        yield Shop(cluster, frontend, api, payments, visitor)


def records(pod: Kubelet) -> list[dict[str, Any]]:
    """Give the access records of a pod."""
    complete, _, _ = pod.processes["sidecar"].output().rpartition("\n")
    return [
        each for each in map(json.loads, complete.splitlines()) if "outcome" in each
    ]


def last(pod: Kubelet, known: int, **facts: object) -> dict[str, Any]:
    """Give the last record that says so, and that is not among the first *known*."""

    def found() -> list[dict[str, Any]]:
        return [each for each in records(pod)[known:] if facts.items() <= each.items()]

    return eventually(found, f"a record of {facts}")[-1]


def denials(pod: Kubelet) -> float:
    """Give how often /metrics says that a peer was denied."""
    decided = "sidecar_policy_decisions_total"
    return scraped(pod).sum(decided, direction="inbound", decision="deny")


def get(pod: Kubelet, container: str, url: str) -> tuple[int, str]:
    """Ask from inside a container, as the README does; give status and words."""
    status = pod.run_in(container, *GET, url)
    said = pod.folder / f"{container}-exec"
    return status, "".join(
        said.with_name(f"{said.name}{end}").read_text() for end in (".out", ".err")
    )


def test_a_visitor_is_answered_by_all_three_over_mtls(shop: Shop, ipv6: bool) -> None:
    known = len(records(shop.api)), len(records(shop.payments))
    answer = shop.visit(ipv6)
    assert answer.startswith("frontend: api: charge ")
    heard = last(shop.api, known[0], direction="inbound", peer=FRONTEND)
    assert (heard["outcome"], heard["rule"]) == ("completed", "frontend-calls-api")
    assert heard["tls_version"] == "TLSv1.3"
    charged = last(shop.payments, known[1], direction="inbound", peer=API)
    assert (charged["outcome"], charged["rule"]) == ("completed", "api-charges")


def test_on_the_way_nobody_reads_what_is_said(shop: Shop) -> None:
    hub = shop.cluster.hub
    with hub.capture("frontend") as outside, hub.capture("payments") as inside:
        answer = shop.visit(0)
        assert outside.shows(answer.encode())  # a visitor has no certificate
        assert not inside.shows(b"charge")
        assert not inside.shows(b"HTTP/1.")
        begins = [data[:2] for data in inside.streams().values()]
    assert begins, "nothing went by"
    assert set(begins) == {b"\x16\x03"}, "something other than TLS"


@pytest.mark.parametrize(
    ("port", "nearest"), [(8080, "api-charges"), (8081, "report-reads")]
)
def test_the_frontend_is_reset_by_payments_because_of_who_it_is(
    shop: Shop, port: int, nearest: str
) -> None:
    known = len(records(shop.payments))
    before = denials(shop.payments)
    url = f"http://payments.payments:{port}/"
    status, said = get(shop.frontend, "frontend", url)
    assert status == 1
    assert "Connection reset by peer" in said
    denied = last(shop.payments, known, peer=FRONTEND)
    assert (denied["outcome"], denied["decision"]) == ("denied", "deny")
    assert denied["detail"].startswith(f"rule '{nearest}' differs only in segment 4")
    assert denied["destination"].endswith(f":{port}")
    assert denials(shop.payments) == before + 1


def test_the_api_charges_and_does_not_read_the_report(shop: Shop) -> None:
    url = "http://payments.payments:8081/"
    status, said = get(shop.api, "api", url)
    assert (status, "Connection reset by peer" in said) == (1, True)
    status, said = get(shop.api, "api", "http://payments.payments:8080/")
    assert (status, said.startswith("charge ")) == (0, True)


def test_who_has_no_certificate_is_reset(shop: Shop, ipv6: bool) -> None:
    for full, port in (("shop/api", 8080), ("payments/payments", 8080)):
        turned_away(shop.visitor, shop.cluster.services[full][ipv6], port)
    assert last(shop.api, 0, reason="plaintext")["outcome"] == "handshake_failed"
    assert last(shop.payments, 0, reason="plaintext")["outcome"] == "handshake_failed"


def test_nobody_calls_out_of_the_shop(shop: Shop, ipv6: bool) -> None:
    known = len(records(shop.api))
    host = shop.visitor.addresses[ipv6]
    url = f"http://[{host}]:8080/" if ipv6 else f"http://{host}:8080/"
    status, said = get(shop.api, "api", url)
    assert (status, "Connection reset by peer" in said) == (1, True)
    assert last(shop.api, known, direction="outbound")["outcome"] == "no_route"


def test_the_job_reports_and_finishes(shop: Shop) -> None:
    known = len(records(shop.payments))
    job = shop.cluster.start("CronJob", "shop/report")
    assert job.succeeds()
    assert job.ended == ["report", "sidecar"]
    assert job.processes["report"].output().startswith("charges: ")
    heard = last(shop.payments, known, peer=REPORT)
    assert (heard["outcome"], heard["rule"]) == ("completed", "report-reads")


def test_probes_are_answered_though_the_port_is_strict(shop: Shop) -> None:
    (container,) = shop.payments.manifest["spec"]["containers"]
    for name in ("readinessProbe", "livenessProbe"):
        assert container[name]["httpGet"]["path"].startswith("/app-health/payments/")
        assert shop.payments.probe("payments", name)
