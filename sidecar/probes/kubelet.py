"""How the kubelet asks: which request it sends, and where a redirect leads. No I/O.

What is here follows `pkg/probe/http` of Kubernetes and the `net/http` of Go that it is
made with, so that an application cannot tell who asks: the same target, the same
headers, the same redirects.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote_to_bytes, urljoin, urlsplit

from attrs import frozen

if TYPE_CHECKING:
    from sidecar.config.app_probes import HttpProbe

_AGENT: Final = "kube-probe"

# What Go leaves out of the headers it is given: it writes these itself.
_WRITTEN_ELSEWHERE: Final = frozenset(
    {
        "host",
        "user-agent",
        "accept",
        "connection",
        "content-length",
        "transfer-encoding",
        "trailer",
    }
)
# Of net/url: what may stand in a path as it is, and what it leaves alone when it
# has to write the path anew.
_FIT: Final = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/\[\]-]|%[0-9A-Fa-f]{2})*")
_LEFT_ALONE: Final = "/$&+,:;=@"
_BROKEN_ESCAPE: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_PORTS: Final = {"http": 80, "https": 443}


class RedirectError(ValueError):
    """A redirect leads nowhere that can be asked; the message says why."""


@frozen
class Ask:
    """One request of a probe.

    Attributes:
        host: What is dialled, and compared with where a redirect leads.
        target: Path and query, as they are sent.
        host_header: What the Host header says; empty for host and port.
    """

    https: bool
    host: str
    port: int
    target: str
    host_header: str = ""

    @property
    def authority(self) -> str:
        """The value of the Host header."""
        return self.host_header or authority_of(self.host, self.port)

    @property
    def server_name(self) -> str | None:
        """What a TLS server is asked for; an address is no name (RFC 6066, 3)."""
        return None if is_address(self.host) else self.host


def is_address(host: str) -> bool:
    """Tell whether *host* is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def authority_of(host: str, port: int) -> str:
    """Write host and port as a URL has them."""
    name = host.partition("%")[0]  # a zone has no meaning for anybody else (RFC 6874)
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def first_ask(action: HttpProbe, pod: str) -> Ask:
    """What the kubelet asks first, of a pod whose address is *pod*."""
    named = next((v for n, v in action.headers if n.lower() == "host"), "")
    host = action.host or pod
    return Ask(action.scheme == "HTTPS", host, action.port, _target(action.path), named)


def headers_of(action: HttpProbe, agent: str) -> list[tuple[str, str]]:
    """What is sent beside Host and Connection; *agent* is the kubelet's own name."""
    asked = {name.lower(): value for name, value in reversed(action.headers)}
    known = agent if agent.startswith(_AGENT) else _AGENT
    headers = [
        ("User-Agent", asked.get("user-agent", known)),
        ("Accept", asked.get("accept", "*/*")),
    ]
    # Empty ones are how a user has them left out.
    headers = [each for each in headers if each[1]]
    rest = (
        each for each in action.headers if each[0].lower() not in _WRITTEN_ELSEWHERE
    )
    # Kubernetes lets blanks through, HTTP does not (RFC 9110, 5.5).
    return [(name, value.strip(" \t")) for name, value in (*headers, *rest)]


def _target(path: str) -> str:
    """Give path and query of what stands in a probe, which may be any text."""
    if _CONTROL.search(path) or _BROKEN_ESCAPE.search(path.partition("?")[0]):
        # No URL: Kubernetes takes all of it for a path.
        return _rooted(quote(path, safe=_LEFT_ALONE))
    text = path.partition("#")[0]
    if _SCHEME.match(text) or text.startswith("//"):
        parts = urlsplit(text)
        text = parts.path + (f"?{parts.query}" if "?" in text else "")
    raw, mark, query = text.partition("?")
    if not _FIT.fullmatch(raw):
        raw = quote(unquote_to_bytes(raw), safe=_LEFT_ALONE)
    return _rooted(raw) + mark + _escaped(query)


def _rooted(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


def _escaped(query: str) -> str:
    return "".join(
        chr(byte) if 0x21 <= byte <= 0x7E else f"%{byte:02X}" for byte in query.encode()
    )


def next_ask(before: Ask, status: int, location: str) -> Ask | None:
    """Give the request that a redirect asks for; None where it is the last answer.

    A redirect to another host is not followed, and counts as success.

    Raises:
        RedirectError: It leads to nothing that can be asked.
    """
    if status not in _REDIRECTS or not location:
        return None
    scheme = "https" if before.https else "http"
    base = f"{scheme}://{authority_of(before.host, before.port)}{before.target}"
    try:
        parts = urlsplit(urljoin(base, location))
        port = parts.port
    except ValueError:
        raise RedirectError("redirected to no URL") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise RedirectError("redirected to no http URL")
    if parts.hostname != before.host.partition("%")[0].lower():
        return None
    relative = not _SCHEME.match(location)
    return Ask(
        https=parts.scheme == "https",
        host=before.host,
        port=port or _PORTS[parts.scheme],
        target=_target(parts.path + (f"?{parts.query}" if parts.query else "")),
        # As Go does: who moves within a host keeps the name that it was called by.
        host_header=before.host_header if relative else "",
    )
