"""What an agent sent, judged by the rules that hold for files.

One message is taken or refused as a whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.config.crl import CrlError, parse_crls
from sidecar.config.material import Material
from sidecar.config.place import Finding, Invalid, Place
from sidecar.config.wording import shown
from sidecar.identity.bundle import BundleError, TrustBundle
from sidecar.identity.reading import SvidError
from sidecar.identity.spiffe_id import (
    SpiffeId,
    SpiffeIdError,
    parse_trust_domain,
    parse_trust_domain_id,
)
from sidecar.identity.svid import Svid

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from sidecar.config.material import FileTrust
    from sidecar.config.model import Identity
    from sidecar.workload.response import X509SvidResponse

T = TypeVar("T")

_USELESS: Final = (SvidError, BundleError, CrlError, SpiffeIdError)


def material_of(
    response: X509SvidResponse,
    identity: Identity,
    files: FileTrust,
    now: dt.datetime | None,
) -> Material:
    """Make of *response* what handshakes need.

    Args:
        response: All that the agent has for us.
        identity: Which of the SVIDs is meant, and whose names count.
        files: What is beside it in files: the roots of unnamed peers, and more lists.
        now: When our SVID must be valid; None where it was found so before.

    Raises:
        Invalid: Something in it breaks a rule; there is a finding for each, relative
            to `identity`. No other exception escapes, whatever was sent.
    """
    reading = _Reading()
    svid = reading.svid(response, identity.hint, (), now)
    additional = {
        name: reading.svid(response, each.hint, ("additional", name), now)
        for name, each in identity.additional.items()
    }
    bundles = reading.bundles(response)
    crls = [
        reading.use(f"revocation list {number}", parse_crls, crl) or ()
        for number, crl in enumerate(response.crls, 1)
    ]
    if svid is None or reading.findings:
        raise Invalid(reading.findings)
    return Material(
        svid=svid,
        additional={name: each for name, each in additional.items() if each},
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
    ) -> Svid | None:
        """Read the SVID that is meant: the first with the hint, or of them all."""
        sent = next((s for s in response.svids if hint in {None, s.hint}), None)
        if sent is None:
            hints = ", ".join(shown(each.hint) for each in response.svids)
            what = f"expected the hint of an SVID that the agent has ({hints})"
            what = f"{what}, got {shown(hint)}"
            self.findings.append(Finding((*place, "hint"), what))
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

        One whose roots have all expired will do: it lets nobody in, and a partner
        that lets it come to that must not keep our own SVID from being renewed.
        """
        found: dict[str, TrustBundle] = {}
        sent: list[tuple[str, Callable[[str], str], bytes]]
        sent = [(each.spiffe_id, _own_domain, each.bundle) for each in response.svids]
        for name, der in response.federated_bundles.items():
            sent.append((name, _domain, der))
        for name, domain_of, der in sent:
            what = f"bundle of {shown(name)}"
            bundle = self.use(what, _read_bundle, name, domain_of, der)
            if bundle is not None:
                found.setdefault(bundle.trust_domain, bundle)
        return found

    def use(self, what: str, read: Callable[..., T], *args: object) -> T | None:
        try:
            return read(*args)
        except _USELESS as error:
            self.findings.append(Finding(("workload_api",), f"{what}: {error}"))
            return None


def _own_domain(name: str) -> str:
    return SpiffeId.parse(name).trust_domain


def _domain(name: str) -> str:
    # The standard asks for the SPIFFE ID of the domain; some send its name alone.
    return parse_trust_domain_id(name) if "://" in name else parse_trust_domain(name)


def _read_bundle(name: str, domain_of: Callable[[str], str], der: bytes) -> TrustBundle:
    return TrustBundle.from_der(domain_of(name), der)
