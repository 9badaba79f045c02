"""The application's probes, turned to the sidecar.

The kubelet speaks no mTLS, so that a strict port refuses it; and a TCP probe of a
redirected port would find the sidecar there, and be content. So both ask the sidecar's
telemetry port, and the sidecar asks the application. Handlers of the life cycle that
ask by HTTP come from the kubelet just the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from attrs import frozen

from sidecar.config.app_probes import (
    LARGEST,
    PREFIX,
    AppProbe,
    GrpcProbe,
    Handler,
    HttpProbe,
    TcpProbe,
    parse_app_probes,
    render_app_probes,
)
from sidecar.config.wording import shown
from sidecar.injector.model import TELEMETRY_PORT
from sidecar.injector.pod import GRACE_SECONDS, PROBES, Container, mapping_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sidecar.injector.operations import Tokens

HANDLERS: Final = ("httpGet", "tcpSocket", "grpc")
_HOOKS: Final = {"postStart": "poststartz", "preStop": "prestopz"}
_START_SECONDS: Final = 600
"""Kubernetes gives a postStart no limit; nothing of ours is without one."""
_LEAST_SECONDS: Final = 30
_MOST_SECONDS: Final = 86_400
_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))


class ProbeError(ValueError):
    """A probe could not work, neither before nor after; says which and why."""


@frozen
class Rewrite:
    """A handler that is to ask the sidecar.

    Attributes:
        key: Which it is, for `Status.handlers`.
        above: The way to the probe or hook that has the handler, in the pod.
        kind: Which handler it is now; it becomes an ``httpGet``.
        asked: The path that the kubelet asks for from then on.
        original: The handler, as the pod has it.
        probe: The same, as the sidecar is told.
    """

    key: str
    above: Tokens
    kind: str
    asked: str
    original: Mapping[str, Any]
    probe: AppProbe

    @property
    def handler(self) -> dict[str, Any]:
        """What stands there instead."""
        return {"path": self.asked, "port": TELEMETRY_PORT, "scheme": "HTTP"}


def rewrites_of(
    container: Container, grace_seconds: int = GRACE_SECONDS
) -> Iterator[Rewrite]:
    """Find what of a container's probes and hooks the sidecar has to perform.

    Args:
        container: Of the application.
        grace_seconds: Those of its pod, which are all that a preStop may take.

    Raises:
        ProbeError: One of them has a port that the container does not name, or
            something that no probe can have.
    """
    for key, last in PROBES.items():
        probe = container.section(key)
        seconds = probe.get("timeoutSeconds") or 1
        yield from _rewrites(container, (key,), probe, last, seconds)
    lifecycle = container.section("lifecycle")
    grace = min(max(grace_seconds, _LEAST_SECONDS), _MOST_SECONDS)
    for key, last in _HOOKS.items():
        hook = mapping_of(lifecycle, key)
        seconds = grace if key == "preStop" else _START_SECONDS
        yield from _rewrites(container, ("lifecycle", key), hook, last, seconds)


def asks_us(probe: Mapping[str, Any]) -> bool:
    """Tell whether a probe or hook asks the sidecar on behalf of the application."""
    path = mapping_of(probe, "httpGet").get("path")
    return isinstance(path, str) and path.startswith(PREFIX)


def _rewrites(
    container: Container,
    way: tuple[str, ...],
    probe: Mapping[str, Any],
    last: str,
    seconds: int,
) -> Iterator[Rewrite]:
    place = ".".join([container.place, *way])
    # A tcpSocket of a hook was never performed by any Kubernetes.
    kinds = ("httpGet",) if "lifecycle" in way else HANDLERS
    there = [kind for kind in (*kinds, "exec") if probe.get(kind) is not None]
    if len(there) > 1:
        raise ProbeError(f"{place}: expected one handler, got {' and '.join(there)}")
    for kind in there:
        if kind == "exec":
            continue
        original = probe[kind]
        if not isinstance(original, dict):
            raise ProbeError(
                f"{place}.{kind}: expected a mapping, got {shown(original)}"
            )
        asked = f"{PREFIX}{container.name}/{last}"
        app_probe = AppProbe(_handler(container, kind, original, place), seconds)
        text = render_app_probes({asked: app_probe})
        try:
            # What is too much for one is too much for all, and is said there.
            parse_app_probes(text if len(text) <= LARGEST else "")
        except ValueError as error:
            what = str(error).removeprefix(f"{asked}: ").removeprefix(f"{kind}: ")
            raise ProbeError(f"{place}.{kind}: {what}") from None
        above = ("spec", container.inside, container.at, *way)
        key = "/".join([container.inside, container.name, *way])
        yield Rewrite(key, above, kind, asked, original, app_probe)


def _handler(
    container: Container, kind: str, original: Mapping[str, Any], place: str
) -> Handler:
    port = _port(container, original.get("port"), f"{place}.{kind}.port")
    host = original.get("host") or None
    if kind == "httpGet":
        headers = original.get("httpHeaders") or []
        if not isinstance(headers, list) or not all(
            isinstance(each, dict) for each in headers
        ):
            raise ProbeError(f"{place}.httpGet.httpHeaders: expected a list of headers")
        return HttpProbe(
            port,
            _path(original.get("path")),
            original.get("scheme") or "HTTP",
            host,
            tuple((each.get("name", ""), each.get("value", "")) for each in headers),
        )
    if kind == "tcpSocket":
        return TcpProbe(port, host)
    return GrpcProbe(port, original.get("service") or "")


def _path(path: object) -> str:
    """Give a path as the kubelet would ask for it."""
    text = quote(str(path or "/"), safe=_PRINTABLE)
    return text if text.startswith("/") else f"/{text}"


def _port(container: Container, port: object, place: str) -> int:
    if isinstance(port, int) and not isinstance(port, bool):
        return port
    if isinstance(port, str) and port.isdecimal():
        return int(port)
    for each in container.ports:
        number = each.get("containerPort")
        if port and each.get("name") == port and isinstance(number, int):
            return number
    raise ProbeError(
        f"{place}: no port of that container has this name, got {shown(port)}"
    )
