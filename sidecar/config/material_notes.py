"""What deserves a word about certificates that will do."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from sidecar.config.key_file import is_of_a_volume
from sidecar.config.model import NameKind
from sidecar.config.moments import seen_from, stamp
from sidecar.config.place import Finding, Place
from sidecar.config.wording import shown_path
from sidecar.identity.spiffe_id import SpiffeId

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cryptography import x509

    from sidecar.config.material import Material
    from sidecar.config.model import Identity
    from sidecar.identity.svid import Svid


def notes_on_material(
    identity: Identity, material: Material, now: dt.datetime
) -> Iterator[Finding]:
    """Find what is legal and probably not meant, at places relative to `identity`."""
    readable = identity.allow_readable_key
    yield from () if readable else _notes_on_key(identity.private_key, ())
    yield from _notes_on_chain(material.svid, now, ())
    for name, each in identity.additional.items():
        place = ("additional", name)
        yield from () if readable else _notes_on_key(each.private_key, place)
        yield from _notes_on_chain(material.additional[name], now, place)
    yield from _notes_on_own_bundle(material)
    for trust_domain, bundle in material.bundles.items():
        place = ("trust_bundles", trust_domain)
        yield from _notes_on_roots(bundle.roots, place, now)
    yield from _notes_on_roots(material.name_roots, ("name_bundle",), now)
    yield from _notes_on_crls(material, now)


def _notes_on_key(path: Path | None, above: Place) -> Iterator[Finding]:
    if path is None:
        return
    try:
        # That of a volume is the kubelet's to choose, and nobody's to mend.
        mode = 0 if is_of_a_volume(path) else stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # it went away since it was read; whoever reads it next will say so
    if mode & 0o077:
        what = f"{shown_path(path)}: others than its owner have access, mode {mode:04o}"
        yield Finding((*above, "private_key"), what)


def _notes_on_chain(svid: Svid, now: dt.datetime, above: Place) -> Iterator[Finding]:
    for number, certificate in enumerate(svid.chain[1:], 2):
        end = certificate.not_valid_after_utc
        if end < now:
            what = f"certificate {number} expired {stamp(end)}, {seen_from(end, now)}"
            yield Finding((*above, "certificate_chain"), what)


def _notes_on_own_bundle(material: Material) -> Iterator[Finding]:
    name = material.svid.name
    if not isinstance(name, SpiffeId) or NameKind.SPIFFE not in material.accept:
        return
    own = material.bundles.get(name.trust_domain)
    if own is None:
        what = f"no bundle of our own trust domain, '{name.trust_domain}'"
        yield Finding(("trust_bundles",), f"{what}: its workloads are refused")
    elif not _leads_to(material.svid.chain, own.roots):
        what = "our own certificate does not lead to these roots"
        place = ("trust_bundles", name.trust_domain)
        yield Finding(place, f"{what}: peers with the same bundle refuse us")


def _leads_to(
    chain: Sequence[x509.Certificate], roots: Sequence[x509.Certificate]
) -> bool:
    """Follow the issuers from the leaf; signatures only, no time and no constraint."""
    certificate, *others = chain
    while not any(_issued(certificate, root) for root in roots):
        issuer = next((each for each in others if _issued(certificate, each)), None)
        if issuer is None:
            return False
        others.remove(issuer)
        certificate = issuer
    return True


def _issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _notes_on_roots(
    roots: Sequence[x509.Certificate], place: Place, now: dt.datetime
) -> Iterator[Finding]:
    expired = [root for root in roots if root.not_valid_after_utc < now]
    if expired:
        what = f"{len(expired)} of {len(roots)} certificates expired"
        last = max(root.not_valid_after_utc for root in expired)
        yield Finding(place, f"{what}, the last {stamp(last)}, {seen_from(last, now)}")


def _notes_on_crls(material: Material, now: dt.datetime) -> Iterator[Finding]:
    for number, crl in enumerate(material.crls, 1):
        due = crl.next_update_utc
        if due is not None and due < now:
            what = f"list {number} is out of date: its successor was due {stamp(due)}"
            yield Finding(("crl",), f"{what}, {seen_from(due, now)}")
