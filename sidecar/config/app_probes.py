"""The application's own probes, as injection hands them to `sidecar run`.

The kubelet asks the sidecar's telemetry port instead of the application, and the
sidecar asks the application, from within the pod. What it asks is in the variable
`VARIABLE`, as JSON: an object from the path that the kubelet asks for to a handler, in
the words of Kubernetes, and a timeout:

    {"/app-health/web/livez": {"httpGet": {"path": "/healthz", "port": 8080,
     "scheme": "HTTP"}, "timeoutSeconds": 1}}
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from attrs import frozen

from sidecar.config.wording import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE: Final = "SIDECAR_APP_PROBES"
PREFIX: Final = "/app-health/"
"""How every path begins that the kubelet asks for on behalf of the application."""

LARGEST: Final = 131_000
"""Bytes of the value: what Linux takes for one variable, MAX_ARG_STRLEN, with its name."""

_LONGEST_WAIT: Final = 86_400
_ASKED: Final = re.compile(r"/app-health/[a-z0-9-]{1,63}/[a-z]{1,20}")
_PATH: Final = re.compile(r"/[\x21-\x7e]*")
_HOST: Final = re.compile(r"[0-9A-Za-z._:-]{1,253}")
_HEADER: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
# What HTTP can carry; and no half of a character, which JSON can name.
_HEADER_VALUE: Final = re.compile("[^\0-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


class AppProbesError(ValueError):
    """The text is no such JSON; the message says where and why.

    Attributes:
        problems: The same, one sentence for each probe that is wrong.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@frozen
class HttpProbe:
    """A GET, that any status from 200 to 399 answers well.

    Attributes:
        path: With its query; printable ASCII that begins with a slash.
        host: Where to connect; None is this pod. It is not the header of that name.
        headers: Names and values, in their order; ``Host`` is among them or not.
    """

    port: int
    path: str = "/"
    scheme: Literal["HTTP", "HTTPS"] = "HTTP"
    host: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


@frozen
class TcpProbe:
    """A connection, that is closed as soon as it is open."""

    port: int
    host: str | None = None


@frozen
class GrpcProbe:
    """A call of ``grpc.health.v1.Health/Check``."""

    port: int
    service: str = ""


Handler: TypeAlias = HttpProbe | TcpProbe | GrpcProbe


@frozen
class AppProbe:
    """What to ask the application, and for how long at most."""

    handler: Handler
    timeout_seconds: int = 1


def render_app_probes(probes: Mapping[str, AppProbe]) -> str:
    """Write the text that `parse_app_probes` reads, for the variable."""
    entries = {path: _rendered(probe) for path, probe in probes.items()}
    return json.dumps(entries, separators=(",", ":"), sort_keys=True)


def _rendered(probe: AppProbe) -> dict[str, Any]:
    handler = probe.handler
    if isinstance(handler, HttpProbe):
        name = "httpGet"
        fields: dict[str, Any] = {
            "path": handler.path,
            "port": handler.port,
            "scheme": handler.scheme,
        }
        if handler.headers:
            fields["httpHeaders"] = [
                {"name": name, "value": value} for name, value in handler.headers
            ]
    elif isinstance(handler, TcpProbe):
        name, fields = "tcpSocket", {"port": handler.port}
    else:
        name, fields = "grpc", {"port": handler.port, "service": handler.service}
    if not isinstance(handler, GrpcProbe) and handler.host is not None:
        fields["host"] = handler.host
    return {name: fields, "timeoutSeconds": probe.timeout_seconds}


def parse_app_probes(text: str) -> dict[str, AppProbe]:
    """Read what `render_app_probes` wrote; an empty text names no probe.

    Raises:
        AppProbesError: The text is anything else. No other exception escapes,
            whatever the text.
    """
    if not text:
        return {}
    if len(text) > LARGEST:
        raise AppProbesError(f"larger than {LARGEST} characters")
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        raise AppProbesError("not JSON") from None
    probes: dict[str, AppProbe] = {}
    problems: list[str] = []
    for path, entry in _object(value, "the whole").items():
        try:
            probes[path] = _entry(path, entry)
        except AppProbesError as error:
            problems += error.problems
    if problems:
        raise AppProbesError(*problems)
    return probes


def _entry(path: str, entry: object) -> AppProbe:
    if not _ASKED.fullmatch(path):
        raise AppProbesError(
            f"expected {PREFIX}CONTAINER/PROBE as a path, got {shown(path)}"
        )
    return _probe(_object(entry, path), path)


def _probe(entry: dict[str, Any], where: str) -> AppProbe:
    names = sorted(entry.keys() - {"timeoutSeconds"})
    if len(names) != 1 or names[0] not in _HANDLERS:
        raise AppProbesError(
            f"{where}: expected one of httpGet, tcpSocket, grpc beside timeoutSeconds"
        )
    at = f"{where}: {names[0]}"
    handler = _HANDLERS[names[0]](_object(entry[names[0]], at), at)
    seconds = entry.get("timeoutSeconds", 1)
    return AppProbe(handler, _whole(seconds, _LONGEST_WAIT, f"{where}: timeoutSeconds"))


def _http(fields: dict[str, Any], at: str) -> HttpProbe:
    _only(fields, {"path", "port", "scheme", "httpHeaders", "host"}, at)
    scheme = fields.get("scheme", "HTTP")
    if scheme not in ("HTTP", "HTTPS"):
        raise AppProbesError(f"{at}: expected HTTP or HTTPS as the scheme")
    headers = fields.get("httpHeaders", [])
    if not isinstance(headers, list):
        raise AppProbesError(f"{at}: expected a list of httpHeaders")
    return HttpProbe(
        _whole(fields.get("port"), 65535, f"{at}: port"),
        _text(fields.get("path", "/"), _PATH, f"{at}: path"),
        scheme,
        _host(fields, at),
        tuple(_header(_object(each, at), at) for each in headers),
    )


def _header(fields: dict[str, Any], at: str) -> tuple[str, str]:
    _only(fields, {"name", "value"}, at)
    return (
        _text(fields.get("name"), _HEADER, f"{at}: the name of a header"),
        _text(fields.get("value"), _HEADER_VALUE, f"{at}: the value of a header"),
    )


def _tcp(fields: dict[str, Any], at: str) -> TcpProbe:
    _only(fields, {"port", "host"}, at)
    return TcpProbe(_whole(fields.get("port"), 65535, f"{at}: port"), _host(fields, at))


def _grpc(fields: dict[str, Any], at: str) -> GrpcProbe:
    _only(fields, {"port", "service"}, at)
    return GrpcProbe(
        _whole(fields.get("port"), 65535, f"{at}: port"),
        _text(fields.get("service", ""), _HEADER_VALUE, f"{at}: service"),
    )


_HANDLERS: Final[dict[str, Callable[[dict[str, Any], str], Handler]]] = {
    "httpGet": _http,
    "tcpSocket": _tcp,
    "grpc": _grpc,
}


def _host(fields: dict[str, Any], at: str) -> str | None:
    host = fields.get("host")
    return None if host is None else _text(host, _HOST, f"{at}: host")


def _object(value: object, at: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise AppProbesError(f"{at}: expected an object")
    return value


def _only(fields: dict[str, Any], known: set[str], at: str) -> None:
    if unknown := sorted(fields.keys() - known):
        raise AppProbesError(f"{at}: unknown key {shown(unknown[0])}")


def _whole(value: object, most: int, at: str) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not (1 <= value <= most)
    ):
        rule = f"expected a whole number from 1 to {most}, got {shown(value)}"
        raise AppProbesError(f"{at}: {rule}")
    return value


def _text(value: object, pattern: re.Pattern[str], at: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise AppProbesError(f"{at}: expected text of {pattern.pattern}")
    return value
