"""Ensures that the examples with callers from outside do what their READMEs say.

The callers are curl with certificates of their own; all else is as in `test_shop`.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

import pytest
from attrs import frozen

from tests.netns.cluster import Cluster, scraped
from tests.support.deadlines import eventually
from tests.support.examples import PARTNER, SIDECAR, Example, run
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sidecar.redirect.model import Backend
    from tests.netns.kubelet import Kubelet
    from tests.netns.pods import Pod

REFUSED = {(55, ""), (56, "")}
"""Curl's statuses for a reset, when it sends and when it reads; nothing was printed."""


@frozen
class Door:
    """A service that is called from outside the mesh, by a name of its own."""

    service: tuple[str, str]
    pod: Kubelet
    outside: Pod
    work: Path
    name: str

    def call(self, url: str, family: int, own: str | None = None) -> tuple[int, str]:
        """Call as the README does; give curl's exit status and what it printed."""
        port = url.rpartition(":")[2].partition("/")[0]
        address = f"[{self.service[1]}]" if family else self.service[0]
        known = ("--resolve", f"{self.name}:{port}:{address}")
        shown = ("--cert", f"{own}.crt", "--key", f"{own}.key") if own else ()
        command = self.outside.command(
            *("sh", "-c", 'cd "$1" && shift && "$@"; echo "status $?"', "-", self.work),
            *(require("curl"), "-sS", "--max-time", "10", "--cacert", "pki/ca.crt"),
            *(*known, *shown, url),
        )
        said, _, status = run(list(command), self.work).rpartition("status ")
        return int(status), said


@contextmanager
def opened(
    example: Example, domain: str, full: str, name: str, backend: Backend
) -> Iterator[Door]:
    """Run the one pod of an example, with a certificate for this DNS name."""
    objects = [
        *example.rendered(),
        *example.secrets(domain, f"{full}={name}"),
        *example.injected(),
    ]
    with ExitStack() as stack:
        cluster = Cluster.new(objects, example.work, backend, stack)
        pod = cluster.start("Deployment", full)
        container = full.split("/")[1]
        eventually(lambda: pod.probe(container, "readinessProbe"), f"{full} is ready")
        outside = cluster.hub.pod("outside")
        yield Door(cluster.services[full], pod, outside, example.work, name)


@pytest.fixture(scope="module")
def portal(
    backends: list[Backend], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    example = Example.made("clinic", tmp_path_factory.mktemp("clinic"))
    name = "portal.hospital.example"
    with opened(example, "clinic.test", "clinic/portal", name, backends[0]) as door:
        yield door


@pytest.fixture(scope="module")
def stock(
    backends: list[Backend], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Door]:
    example = Example.made("partner", tmp_path_factory.mktemp("partner"))
    for account in ("orders", "curious"):
        own = f"spiffe://partner.test/ns/erp/sa/{account}"
        issue = ("certs", "issue", own, "--dir", PARTNER[-1])
        run([*SIDECAR, *issue], example.work)
    name = "stock.warehouse.example"
    with opened(
        example, "warehouse.test", "warehouse/stock", name, backends[0]
    ) as door:
        yield door


RECORDS = "https://portal.hospital.example:8443/"
ORDERS, STOCK = (f"https://stock.warehouse.example:{port}/" for port in (8443, 8080))


@pytest.mark.parametrize("device", ["pump-17", "desk"])
def test_a_device_of_the_hospital_reads_records(
    portal: Door, device: str, ipv6: bool
) -> None:
    assert portal.call(RECORDS, ipv6, f"devices/{device}") == (0, "records\n")


@pytest.mark.parametrize("device", ["pump-13", "kitchen"])
def test_a_device_that_is_stolen_or_of_elsewhere_is_reset(
    portal: Door, device: str
) -> None:
    assert portal.call(RECORDS, 0, f"devices/{device}") in REFUSED


def test_a_device_is_counted_by_its_name(portal: Door) -> None:
    counted, labels = "sidecar_peer_connections_total", {"decision": "allow"}
    peer = "dns:pump-17.devices.hospital.example"
    portal.call(RECORDS, 0, "devices/pump-17")
    assert scraped(portal.pod).sum(counted, peer=peer, **labels) >= 1


def test_who_has_no_certificate_reads_why(portal: Door) -> None:
    status, said = portal.call(RECORDS, 0)
    assert (status, said.partition(":")[0]) == (0, "A client certificate is required")
    failed = scraped(portal.pod).sum(
        "sidecar_handshakes_total", direction="inbound", reason="no_certificate"
    )
    assert failed >= 1


def test_the_status_page_is_for_everybody(portal: Door, ipv6: bool) -> None:
    url = "http://portal.hospital.example:80/"
    assert portal.call(url, ipv6) == (0, "all is well\n")


def test_the_partner_orders(stock: Door, ipv6: bool) -> None:
    assert stock.call(ORDERS, ipv6, "partner/orders") == (0, "orders\n")


@pytest.mark.parametrize(
    ("url", "own"), [(STOCK, "partner/orders"), (ORDERS, "partner/curious")]
)
def test_the_partner_gets_no_further(stock: Door, url: str, own: str) -> None:
    assert stock.call(url, 0, own) in REFUSED


def test_our_own_reach_both_ports(stock: Door) -> None:
    assert stock.call(ORDERS, 0, "pki/warehouse-stock") == (0, "orders\n")
    assert stock.call(STOCK, 0, "pki/warehouse-stock") == (0, "stock\n")


def test_the_partner_s_ca_names_nobody_of_ours(stock: Door) -> None:
    """Whoever holds its key can sign any name, and is believed in none but its own."""
    forge = [
        *(
            str(require("openssl")),
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-noenc",
            "-days",
            "1",
        ),
        *("-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/O=SPIRE"),
        *("-CA", "partner/ca.crt", "-CAkey", "partner/ca.key"),
        *("-addext", "basicConstraints=critical,CA:FALSE"),
        *("-addext", "keyUsage=critical,digitalSignature"),
    ]
    answers = []
    for name, said in (
        ("forged", "spiffe://warehouse.test/ns/warehouse/sa/stock"),
        ("honest", "spiffe://partner.test/ns/erp/sa/orders"),
    ):
        files = ("-keyout", f"{name}.key", "-out", f"{name}.crt")
        run([*forge, "-addext", f"subjectAltName=URI:{said}", *files], stock.work)
        answers.append(stock.call(ORDERS, 0, name))
    forged, honest = answers
    assert forged in REFUSED
    assert honest == (0, "orders\n")
