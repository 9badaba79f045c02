"""The whole table of certificates, shown to a sidecar that runs."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest
from attrs import frozen
from OpenSSL import SSL

from sidecar.certs.authority import Authority
from sidecar.certs.cases.world import World
from sidecar.certs.conformance import CASES
from tests.integration.conftest import API, data_port
from tests.support.pki import now, pem, write_bundle, write_svid
from tests.support.ports import free_port
from tests.support.sidecars import Sidecar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.certs.cases.case import Case
    from sidecar.certs.cases.world import Presented


@frozen
class Endpoint:
    """A sidecar that trusts the world's bundles, without and with its list."""

    world: World
    plain: Sidecar
    with_crl: Sidecar


@contextmanager
def ending_server() -> Iterator[int]:
    """Run an application that ends every connection at once; give its port."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                listener.accept()[0].close()

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=accept)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    folder = tmp_path_factory.mktemp("conformance")
    world = World.around(Authority.create("example.org", now=now()), now=now())
    (folder / "crl.pem").write_bytes(pem([world.crl()]))  # type: ignore[list-item]
    own = write_svid(folder, world.authority, API)
    identity = {
        "certificate_chain": str(own.certificate_chain),
        "private_key": str(own.private_key),
        "trust_bundles": {
            each.trust_domain: str(write_bundle(folder, each))
            for each in (world.authority, world.partner)
        },
    }
    everybody = [f"spiffe://{name}/**" for name in identity["trust_bundles"]]
    rule = {"name": "everybody", "action": "allow", "peers": everybody}
    with ending_server() as port:
        destination = f"127.0.0.1:{port}"

        def sidecar(name: str, **more: str) -> Sidecar:
            listener = {
                "listen": f"127.0.0.1:{free_port()}",
                "destination": destination,
            }
            return Sidecar(
                folder,
                {
                    "identity": {**identity, **more},
                    "inbound": {"listeners": [listener]},
                },
                {"rules": [rule]},
                name,
            )

        crl = str(folder / "crl.pem")
        with sidecar("plain") as plain, sidecar("with-crl", crl=crl) as with_crl:
            yield Endpoint(world, plain, with_crl)


def show(port: int, presented: Presented) -> str | None:
    """Show a chain in a handshake; give the alert, or None if there was none."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    leaf, *issuers = presented.chain
    context.use_certificate(leaf)
    for issuer in issuers:
        context.add_extra_chain_cert(issuer)
    context.use_privatekey(presented.private_key)
    with socket.create_connection(("127.0.0.1", port), 10) as sock:
        # pyOpenSSL takes no timeout: the kernel keeps the time.
        sock.setblocking(True)
        limit = struct.pack("ll", 10, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        client = SSL.Connection(context, sock)
        client.set_connect_state()
        try:
            client.do_handshake()
            client.recv(1)
        except (SSL.ZeroReturnError, SSL.SysCallError):
            return None
        except SSL.Error as error:
            alert: str = error.args[0][0][2]
            return alert
    raise AssertionError("the application sends nothing")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_the_clause_says_is_what_happens(endpoint: Endpoint, case: Case) -> None:
    sidecar = endpoint.with_crl if case.with_crl else endpoint.plain
    before = len(sidecar.access_records())
    alert = show(data_port(sidecar), case.build(endpoint.world))
    record = sidecar.wait_for_records(before + 1)[-1]
    assert record["reason"] == case.reason, (record, alert)
    assert (alert is None) == case.accepted
    if not case.accepted:
        assert record["outcome"] == "handshake_failed"
        assert "alert" in str(alert)
        assert "internal error" not in str(alert)
