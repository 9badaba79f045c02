"""What the keys of one section must agree on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sidecar.config.model import NameKind, RouteMode
from sidecar.config.place import Finding, Index, written
from sidecar.config.wording import quoted
from sidecar.policy.pattern import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sidecar.config.model import Identity, Outbound, Route

_FILES = ("certificate_chain", "private_key", "trust_bundles")


def check_identity(identity: Identity) -> Iterator[Finding]:
    """Our certificate has one source, and each kind of peer name has its roots."""
    files = [key for key in _FILES if getattr(identity, key)]
    if identity.workload_api is not None:
        if files:
            what = f"cannot stand beside {', '.join(files)}: it brings all of them"
            yield Finding(("workload_api",), what)
    elif files:
        yield from _check_files(identity)
        if identity.hint is not None:
            what = "chooses among the SVIDs of a Workload API, and there is none"
            yield Finding(("hint",), f"{what} (remove it)")
    yield from _check_name_bundle(identity)


def _check_files(identity: Identity) -> Iterator[Finding]:
    if identity.certificate_chain is None:
        yield Finding(("certificate_chain",), "missing")
    if identity.private_key is None:
        yield Finding(("private_key",), "missing")
    if NameKind.SPIFFE in identity.accept and not identity.trust_bundles:
        what = "expected the bundle of at least one trust domain, got none"
        yield Finding(("trust_bundles",), f"{what} (accept has 'spiffe')")


def _check_name_bundle(identity: Identity) -> Iterator[Finding]:
    kinds = [kind for kind in NameKind if kind in identity.accept]
    named = [kind for kind in kinds if kind is not NameKind.SPIFFE]
    if named and identity.name_bundle is None:
        what = f"missing: accept has {quoted(named)}, whose roots stand there"
        yield Finding(("name_bundle",), what)
    if identity.name_bundle is not None and not named:
        what = f"nobody is checked against it: accept has {quoted(kinds)} only"
        yield Finding(
            ("name_bundle",), f"{what} (add 'dns' or 'subject', or remove it)"
        )


def check_route(route: Route) -> Iterator[Finding]:
    """A route that promises mutual TLS says who must answer; no other route does."""
    if route.mode is RouteMode.MTLS and not route.peers:
        what = "expected at least one peer that may answer, got none"
        yield Finding(("peers",), f"{what} (mode 'mtls' trusts nobody by default)")
    if route.mode is not RouteMode.MTLS and route.identity is not None:
        what = f"it is shown to nobody in mode '{route.mode}' (remove it)"
        yield Finding(("identity",), what)
    if route.mode is not RouteMode.MTLS and route.peers:
        what = f"nobody is checked in mode '{route.mode}'"
        yield Finding(("peers",), f"{what} (remove peers, or write mode 'mtls')")
    for at, peer in enumerate(route.peers):
        if isinstance(peer, Unauthenticated):
            what = f"a server always shows a certificate, got '{peer}'"
            yield Finding(("peers", Index(at)), what)


def check_outbound(outbound: Outbound) -> Iterator[Finding]:
    """No two routes have one name."""
    return unique_names((route.name for route in outbound.routes), "routes")


def unique_names(names: Iterable[str], key: str) -> Iterator[Finding]:
    """Find the names of a list's items that an earlier item has."""
    first: dict[str, int] = {}
    for at, name in enumerate(names):
        if first.setdefault(name, at) != at:
            place = written((key, Index(first[name]), "name"))
            what = f"duplicate name {name!r}, first at {place}"
            yield Finding((key, Index(at), "name"), what)
