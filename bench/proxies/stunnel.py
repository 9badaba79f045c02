"""stunnel: a thread for each connection, so it has no single worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.programs import find, version_of
from bench.proxies.proxy import GROUP, Proxy

if TYPE_CHECKING:
    from bench.certificates import Workload
    from bench.proxies.proxy import Command, Site


class Stunnel(Proxy):
    """stunnel from the distribution."""

    name = "stunnel"
    checks = "DNS name"

    def version(self) -> str:
        return version_of(find("stunnel"), "-version")

    def client(self, site: Site) -> Command:
        own, peer = site.certificates.client, site.certificates.server
        ports = site.entry, site.dialled
        return _command(site, "client", own, peer, ports, "client = yes")

    def server(self, site: Site) -> Command:
        own, peer = site.certificates.server, site.certificates.client
        ports = site.crossing, site.application
        return _command(site, "server", own, peer, ports, "requireCert = yes")


def _command(
    site: Site,
    side: str,
    own: Workload,
    peer: Workload,
    ports: tuple[int, int],
    role: str,
) -> Command:
    text = f"""\
foreground = yes
syslog = no
pid =
debug = err
[{side}]
{role}
accept = 127.0.0.1:{ports[0]}
connect = 127.0.0.1:{ports[1]}
cert = {own.both}
CAfile = {site.certificates.bundle}
verifyChain = yes
checkHost = {peer.dns}
sslVersion = TLSv1.3
curves = {GROUP}
sessionResume = {"yes" if site.setting.resumption else "no"}
"""
    return [find("stunnel"), site.write(f"stunnel-{side}.conf", text)]
