"""HAProxy in TCP mode, which knows DNS names and no SPIFFE IDs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.programs import find, version_of
from bench.proxies.openssl_defaults import with_default
from bench.proxies.proxy import GROUP, PATIENCE, Proxy

if TYPE_CHECKING:
    from bench.proxies.proxy import Command, Site


class Haproxy(Proxy):
    """HAProxy from the distribution."""

    name = "haproxy"
    checks = "DNS name, of the server only"

    def version(self) -> str:
        return version_of(find("haproxy"), "-v")

    def client(self, site: Site) -> Command:
        own, peer = site.certificates.client, site.certificates.server
        reuse = "" if site.setting.resumption else "no-ssl-reuse"
        # Before 3.0 a server line has no `curves`.
        return with_default(
            site,
            f"Groups = {GROUP}",
            _command(
                site,
                "client",
                f"bind 127.0.0.1:{site.entry} backlog 4096",
                f"server s 127.0.0.1:{site.dialled} ssl crt {own.both}"
                f" ca-file {site.certificates.bundle} verify required"
                f" verifyhost {peer.dns} ssl-min-ver TLSv1.3 {reuse}",
            ),
        )

    def server(self, site: Site) -> Command:
        own = site.certificates.server
        tickets = "" if site.setting.resumption else "no-tls-tickets"
        return _command(
            site,
            "server",
            f"bind 127.0.0.1:{site.crossing} backlog 4096 ssl crt {own.both}"
            f" ca-file {site.certificates.bundle} verify required"
            f" curves {GROUP} ssl-min-ver TLSv1.3 {tickets}",
            f"server s 127.0.0.1:{site.application}",
        )


def _command(site: Site, side: str, bind: str, server: str) -> Command:
    text = f"""\
global
    nbthread 1
    maxconn {site.setting.connections + 64}
defaults
    mode tcp
    timeout connect 5s
    timeout client {PATIENCE}
    timeout server {PATIENCE}
listen l
    {bind}
    {server}
"""
    return [find("haproxy"), "-db", "-f", site.write(f"haproxy-{side}.cfg", text)]
