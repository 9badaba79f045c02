"""The proxies that are known, in the order of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.proxies.envoy import Envoy
from bench.proxies.ghostunnel import Ghostunnel
from bench.proxies.haproxy import Haproxy
from bench.proxies.nginx import Nginx
from bench.proxies.sidecar import Sidecar, TwoWorkers
from bench.proxies.stunnel import Stunnel

if TYPE_CHECKING:
    from bench.proxies.proxy import Proxy

OURS: Final = Sidecar.name

PROXIES: Final[dict[str, Proxy]] = {
    proxy.name: proxy
    for proxy in (
        Sidecar(),
        TwoWorkers(),
        Envoy(),
        Nginx(),
        Haproxy(),
        Stunnel(),
        Ghostunnel(),
    )
}
