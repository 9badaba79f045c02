"""ghostunnel: Go, SPIFFE IDs on both sides, no resumption."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.programs import find, version_of
from bench.proxies.proxy import Proxy

if TYPE_CHECKING:
    from bench.certificates import Workload
    from bench.proxies.proxy import Command, Site

# One worker; and without the hybrid group that Go puts first, X25519 remains.
_ENVIRONMENT: Final = ("env", "GOMAXPROCS=1", "GODEBUG=tlsmlkem=0,tlssecpmlkem=0")


class Ghostunnel(Proxy):
    """A ghostunnel on PATH."""

    name = "ghostunnel"
    checks = "SPIFFE ID"

    def version(self) -> str:
        return version_of(find("ghostunnel"), "--version")

    def client(self, site: Site) -> Command:
        own, peer = site.certificates.client, site.certificates.server
        return [
            *_command(site, "client", own, site.entry, site.dialled),
            f"--verify-uri={peer.spiffe_id}",
            f"--override-server-name={peer.dns}",
        ]

    def server(self, site: Site) -> Command:
        own, peer = site.certificates.server, site.certificates.client
        return [
            *_command(site, "server", own, site.crossing, site.application),
            f"--allow-uri={peer.spiffe_id}",
        ]


def _command(site: Site, side: str, own: Workload, listen: int, target: int) -> Command:
    return [
        *_ENVIRONMENT,
        find("ghostunnel"),
        side,
        f"--listen=127.0.0.1:{listen}",
        f"--target=127.0.0.1:{target}",
        f"--cert={own.chain}",
        f"--key={own.key}",
        f"--cacert={site.certificates.bundle}",
        "--quiet=all",
    ]
