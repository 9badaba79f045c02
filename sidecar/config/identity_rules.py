"""Where our certificates come from, and which of them ports and routes may name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.place import Finding, Index, Place
from sidecar.config.wording import shown, suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.model import Config


def check_source(config: Config) -> Iterator[Finding]:
    """There is something to take our certificate from."""
    identity = config.identity
    if identity.workload_api is None and not identity.from_files:
        what = (
            "names no certificate: certificate_chain, private_key, trust_bundles are "
            "needed (or workload_api, or SPIFFE_ENDPOINT_SOCKET in the environment)"
        )
        yield Finding(("identity",), what)


def check_additional(config: Config) -> Iterator[Finding]:
    """Every identity has the source that the first has."""
    keys = ("certificate_chain", "private_key")
    for name, each in config.identity.additional.items():
        place = ("identity", "additional", name)
        if config.identity.from_files:
            if each.hint is not None:
                what = "chooses among the SVIDs of a Workload API, and there is none"
                yield Finding((*place, "hint"), f"{what} (name files)")
            for key in keys:
                if getattr(each, key) is None:
                    yield Finding((*place, key), "missing")
            continue
        for key in keys:
            if getattr(each, key) is not None:
                what = "cannot stand beside a Workload API: it brings all of them"
                yield Finding((*place, key), what)
        if each.hint is None:
            yield Finding((*place, "hint"), "missing: it says which SVID is meant")


def check_inbound_identities(config: Config) -> Iterator[Finding]:
    """A port names an identity that there is."""
    for port, settings in config.inbound.ports.items():
        place = ("inbound", "ports", port, "identity")
        yield from _unknown_identity(config, settings.identity, place)


def check_outbound_identities(config: Config) -> Iterator[Finding]:
    """A route names an identity that there is."""
    for at, route in enumerate(config.outbound.routes):
        place = ("outbound", "routes", Index(at), "identity")
        yield from _unknown_identity(config, route.identity, place)


def _unknown_identity(
    config: Config, name: str | None, place: Place
) -> Iterator[Finding]:
    known = config.identity.additional
    if name is not None and name not in known:
        what = f"expected a name in identity.additional, got {shown(name)}"
        yield Finding(place, f"{what}{suggestion(name, known)}")
