"""Keeping web pages away from a listener that changes state.

The admin listener has no password: whoever reaches it from inside the pod may use it.
A web page that an operator has open must not, and it can reach a forwarded port in two
ways. It can send a request across origins, which a browser marks; or it can let its own
host name resolve to 127.0.0.1 (DNS rebinding), which shows in the Host header.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from sidecar.admin.messages import Handler, Request, Response, text

if TYPE_CHECKING:
    from collections.abc import Awaitable

_NAMES = {"", "localhost", "unix"}


def guarded(handler: Handler) -> Handler:
    """*handler*, for requests that no web page can have sent."""

    def answer(request: Request) -> Response | Awaitable[Response]:
        return refusal(request) or handler(request)

    return answer


def refusal(request: Request) -> Response | None:
    """Why *request* is turned away, or None if it is not."""
    if not _is_local_name(request.headers.get("host", "")):
        return text("the host must be an IP address or localhost", 421)
    changes = request.method not in {"GET", "HEAD"}
    if changes and not request.headers.keys().isdisjoint({"origin", "sec-fetch-site"}):
        return text("a web page may not do this", 403)
    return None


def _is_local_name(host: str) -> bool:
    """Whether *host*, a Host header, is something that DNS has no say in."""
    name, colon, port = host.rpartition(":")
    if not colon or not port.isdigit():
        name = host
    if name.lower() in _NAMES:
        return True
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
