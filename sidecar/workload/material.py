"""What an agent sent, judged by the rules that hold for files.

One message is taken or refused as a whole. An SVID that is absent from one is no
mistake in it: it was taken from us (SPIFFE Workload API 4.4).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.config.crl import CrlError, check_begun, parse_crls
from sidecar.config.material import Material
from sidecar.config.place import Finding, Invalid, Place
from sidecar.config.wording import shown
from sidecar.identity.bundle import BundleError, TrustBundle
from sidecar.identity.reading import SvidError, read_der
from sidecar.identity.spiffe_id import (
    SpiffeId,
    SpiffeIdError,
    parse_trust_domain,
    parse_trust_domain_id,
)
from sidecar.identity.svid import Svid, check_signing_certificate

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping

    from cryptography import x509

    from sidecar.config.material import FileTrust
    from sidecar.config.model import Identity
    from sidecar.workload.response import SentSvid, X509SvidResponse

T = TypeVar("T")

_USELESS: Final = (SvidError, BundleError, CrlError, SpiffeIdError)


def material_of(
    response: X509SvidResponse,
    identity: Identity,
    files: FileTrust,
    now: dt.datetime | None,
    former: Mapping[str | None, Svid] = MappingProxyType({}),
) -> Material:
    """Make of *response* what handshakes need.

    Args:
        response: All that the agent has for us.
        identity: Which of the SVIDs is meant, and whose names count.
        files: What is beside it in files: the roots of unnamed peers, and more lists.
        now: When our SVID must be valid; None where it was found so before.
        former: Whom each of our identities (None is the first) has been so far, by
            the same hints. Where none has its hint any more, the name is followed; one
            that is gone, too, stays as it was, and is not `Material.granted`.

    Raises:
        Invalid: Something in it breaks a rule; there is a finding for each, relative
            to `identity`. No other exception escapes, whatever was sent.
    """
    reading = _Reading()
    found = {
        name: reading.svid(response, hint, place, now, former.get(name))
        for name, hint, place in _hints(identity)
    }
    svid = found.pop(None)
    bundles = reading.bundles(response)
    crls = [
        reading.use(f"revocation list {number}", _read_list, crl, now) or ()
        for number, crl in enumerate(response.crls, 1)
    ]
    if svid is None or reading.findings:
        raise Invalid(reading.findings)
    return Material(
        svid=svid,
        additional={name: each for name, each in found.items() if name and each},
        granted=frozenset(SpiffeId.parse(each.spiffe_id) for each in response.svids),
        bundles=bundles,
        name_roots=files.name_roots,
        crls=(*(each for several in crls for each in several), *files.crls),
        accept=identity.accept,
    )


class _Reading:
    """Looks at one part after the other and keeps what is wrong with each of them."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def svid(
        self,
        response: X509SvidResponse,
        hint: str | None,
        place: Place,
        now: dt.datetime | None,
        former: Svid | None,
    ) -> Svid | None:
        """Read the SVID that is meant: the first with the hint, or of them all."""
        sent = _with_hint(response, hint)
        if sent is None and former is not None:
            same = (s for s in response.svids if s.spiffe_id == str(former.name))
            sent = next(same, None)
            if sent is None:
                return former
        if sent is None:
            self.findings.append(_no_such_hint(response, hint, place))
            return None

        def read() -> Svid:
            svid = Svid.from_der(sent.chain, sent.private_key)
            if str(svid.name) != sent.spiffe_id:
                raise SpiffeIdError(f"the certificate is one of {svid.name}")
            if now is not None:
                svid.check_time(now)
            return svid

        return self.use(f"SVID {shown(sent.spiffe_id)}", read)

    def bundles(self, response: X509SvidResponse) -> dict[str, TrustBundle]:
        """Read the bundle of each trust domain; the first is that of our own.

        Of a partner's what will not do is left out, as `remarks` has it, and expired
        roots let nobody in: whatever it makes of its bundle, it must not keep our own
        SVID from being renewed.
        """
        found: dict[str, TrustBundle] = {}
        for each in response.svids:
            what = f"bundle of {shown(each.spiffe_id)}"
            bundle = self.use(what, _own_bundle, each.spiffe_id, each.bundle)
            if bundle is not None:
                found.setdefault(bundle.trust_domain, bundle)
        for name, der in response.federated_bundles.items():
            partner, _ = _federated(name, der)
            if partner is not None:
                found.setdefault(partner.trust_domain, partner)
        return found

    def use(self, what: str, read: Callable[..., T], *args: object) -> T | None:
        try:
            return read(*args)
        except _USELESS as error:
            self.findings.append(Finding(("workload_api",), f"{what}: {error}"))
            return None


def remarks(response: X509SvidResponse, identity: Identity) -> Iterator[Finding]:
    """Find what a response that will do is not as it was meant.

    Hints of *identity* that no SVID has, and what was left out of others' bundles.
    """
    for _, hint, place in _hints(identity):
        if _with_hint(response, hint) is None:
            yield _no_such_hint(response, hint, place)
    for name, der in response.federated_bundles.items():
        _, wrong = _federated(name, der)
        if wrong is not None:
            yield Finding(("workload_api",), f"bundle of {shown(name)}: {wrong}")


def _hints(identity: Identity) -> Iterator[tuple[str | None, str | None, Place]]:
    """List our identities: the name (None is the first), its hint, and its place."""
    yield None, identity.hint, ()
    for name, each in identity.additional.items():
        yield name, each.hint, ("additional", name)


def _with_hint(response: X509SvidResponse, hint: str | None) -> SentSvid | None:
    return next((s for s in response.svids if hint in {None, s.hint}), None)


def _no_such_hint(
    response: X509SvidResponse, hint: str | None, place: Place
) -> Finding:
    hints = ", ".join(shown(each.hint) for each in response.svids)
    what = f"expected the hint of an SVID that the agent has ({hints})"
    return Finding((*place, "hint"), f"{what}, got {shown(hint)}")


def _read_list(
    der: bytes, now: dt.datetime | None
) -> tuple[x509.CertificateRevocationList, ...]:
    crls = parse_crls(der)
    if now is not None:
        check_begun(crls, now)
    return crls


def _own_bundle(name: str, der: bytes) -> TrustBundle:
    return TrustBundle.from_der(SpiffeId.parse(name).trust_domain, der)


def _federated(name: str, der: bytes) -> tuple[TrustBundle | None, str | None]:
    """Read what will do of another domain's bundle; say what is wrong with the rest.

    An empty one trusts nobody (SPIFFE Workload API 4.4): SPIRE sends it for a domain
    that has keys for JWTs alone.
    """
    try:
        # The standard asks for the SPIFFE ID of the domain; some send its name alone.
        parse = parse_trust_domain_id if "://" in name else parse_trust_domain
        domain = parse(name)
    except SpiffeIdError as error:
        return None, str(error)
    roots: dict[x509.Certificate, None] = {}
    wrong = None
    try:
        certificates = read_der(der) if der else ()
    except SvidError as error:
        return TrustBundle(domain, ()), str(error)
    for number, root in enumerate(certificates, 1):
        try:
            check_signing_certificate(root, domain)
            roots[root] = None
        except SvidError as error:
            wrong = wrong or f"certificate {number} is left out: {error}"
    return TrustBundle(domain, tuple(roots)), wrong
