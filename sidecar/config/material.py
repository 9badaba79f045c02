"""The files that `identity` names: our certificate and key, and our peers' roots.

What a certificate must be is said in `sidecar.identity`; this module reads the files
and says of each what is wrong with it, all of them at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from attrs import field, frozen

from sidecar.config.crl import CrlError, check_begun, parse_crls
from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.key_file import check_key_file
from sidecar.config.model import NameKind
from sidecar.config.moments import seen_from, stamp
from sidecar.config.place import Finding, Invalid, Place, problems_under
from sidecar.config.problems import ConfigError
from sidecar.config.wording import shown_path
from sidecar.identity.bundle import BundleError, TrustBundle, parse_name_bundle
from sidecar.identity.private_key import check_belongs, read_private_key
from sidecar.identity.reading import SvidError, read_pem
from sidecar.identity.svid import Svid, own_name

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cryptography import x509

    from sidecar.config.model import AdditionalIdentity, Identity
    from sidecar.identity.peer import Peer

T = TypeVar("T")

_LARGEST: Final = 1024 * 1024
_USELESS: Final = (UnreadableError, SvidError, BundleError, CrlError)


@frozen(kw_only=True)
class Trust:
    """What peers are judged by.

    Attributes:
        bundles: The roots of each trust domain, by its name.
        name_roots: The roots of peers that are known by dns or subject.
        crls: Certificate revocation lists, in the order of the file.
        accept: Which names of a peer's certificate count.
    """

    bundles: Mapping[str, TrustBundle] = field(factory=dict)
    name_roots: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()
    accept: frozenset[NameKind] = frozenset({NameKind.SPIFFE})


@frozen(kw_only=True)
class Material(Trust):
    """What handshakes are made of.

    Attributes:
        svid: Our own certificate and key.
        additional: Those of our other identities, by name.
        granted: The names that are ours; None where files say so by being there.
            What was taken from us may be among the identities, and is not in here.
    """

    svid: Svid
    additional: Mapping[str, Svid] = field(factory=dict)
    granted: frozenset[Peer] | None = None


@frozen
class FileTrust:
    """What files bring beside a Workload API.

    Attributes:
        name_roots: As in `Material`.
        crls: Lists besides those that the Workload API sends.
    """

    name_roots: tuple[x509.Certificate, ...] = ()
    crls: tuple[x509.CertificateRevocationList, ...] = ()


def load_material(identity: Identity, now: dt.datetime) -> Material:
    """Load the files that *identity* names.

    Raises:
        ConfigError: At least one of them is of no use at *now*; it carries every
            problem, each at its key, as in ``identity.private_key``. No other
            exception escapes, whatever the files.
    """
    try:
        return read_material(identity, now)
    except Invalid as error:
        problems = problems_under("identity", error.findings)
        raise ConfigError("identity", problems) from None


def read_material(
    identity: Identity, now: dt.datetime, known: Material | None = None
) -> Material:
    """Load the files, for whoever knows on which line each of them is named.

    What is in *known* was good before, and is not judged by its time again: one that
    has ended since must not keep the others from being renewed, nor a policy from
    being changed.

    Raises:
        Invalid: As for `load_material`, with places relative to `identity`.
    """
    reading = _Reading(now, known, readable_keys=identity.allow_readable_key)
    names = bool(identity.accept & {NameKind.DNS, NameKind.SUBJECT})
    svid = reading.svid(identity, (), names=names)
    additional = {
        name: reading.svid(each, ("additional", name), names=names)
        for name, each in identity.additional.items()
    }
    bundles = reading.bundles(identity)
    files = reading.trust(identity)
    if svid is None or reading.findings:
        raise Invalid(reading.findings)
    return Material(
        svid=svid,
        additional={name: each for name, each in additional.items() if each},
        bundles=bundles,
        name_roots=files.name_roots,
        crls=files.crls,
        accept=identity.accept,
    )


def read_trust(identity: Identity, now: dt.datetime) -> Trust:
    """Load what peers are judged by, and neither certificate nor key of our own.

    Raises:
        Invalid: As for `read_material`.
    """
    reading = _Reading(now)
    bundles, files = reading.bundles(identity), reading.trust(identity)
    if reading.findings:
        raise Invalid(reading.findings)
    return Trust(
        bundles=bundles,
        name_roots=files.name_roots,
        crls=files.crls,
        accept=identity.accept,
    )


def read_file_trust(
    identity: Identity, now: dt.datetime, known: FileTrust | None = None
) -> FileTrust:
    """Load the files that *identity* names beside a Workload API.

    Raises:
        Invalid: As for `read_material`.
    """
    reading = _Reading(now, known)
    files = reading.trust(identity)
    if reading.findings:
        raise Invalid(reading.findings)
    return files


class _Reading:
    """Reads one file after the other and keeps what is wrong with each of them."""

    def __init__(
        self,
        now: dt.datetime,
        known: Material | FileTrust | None = None,
        *,
        readable_keys: bool = False,
    ) -> None:
        self.findings: list[Finding] = []
        self._now = now
        self._known = _certificates_of(known)
        self._readable_keys = readable_keys

    def svid(
        self, source: Identity | AdditionalIdentity, place: Place, *, names: bool
    ) -> Svid | None:
        chain_at, key_at = (*place, "certificate_chain"), (*place, "private_key")
        chain = self.file(chain_at, source.certificate_chain, read_pem)
        key = self.file(key_at, source.private_key, read_private_key)
        if source.private_key is not None and not self._readable_keys:
            path = source.private_key
            self._try(key_at, path, lambda: check_key_file(path))
        if chain is None:
            return None
        name = self._try(
            chain_at,
            source.certificate_chain,
            lambda: own_name(chain, accept_names=names),
        )
        self._check_time(chain[0], chain_at, source.certificate_chain)
        if key is None:
            return None
        self._try(key_at, source.private_key, lambda: check_belongs(key, chain))
        return None if name is None else Svid(chain, key, name)

    def _check_time(
        self, leaf: x509.Certificate, place: Place, path: Path | None
    ) -> None:
        if leaf in self._known:
            return
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if self._now < begin:
            what = f"{shown_path(path)}: not valid before {self._moment(begin)}"
            self.findings.append(Finding(place, what))
        if self._now > end:
            what = f"{shown_path(path)}: expired {self._moment(end)}"
            self.findings.append(Finding(place, what))

    def bundles(self, identity: Identity) -> dict[str, TrustBundle]:
        bundles = [
            self._bundle(trust_domain, path)
            for trust_domain, path in identity.trust_bundles.items()
        ]
        return {bundle.trust_domain: bundle for bundle in bundles if bundle}

    def _bundle(self, trust_domain: str, path: Path) -> TrustBundle | None:
        place = ("trust_bundles", trust_domain)
        bundle = self.file(
            place, path, lambda data: TrustBundle.from_file(trust_domain, data)
        )
        if bundle is not None:
            self._check_roots(bundle.roots, place, path)
        return bundle

    def trust(self, identity: Identity) -> FileTrust:
        name_roots = self._name_roots(identity.name_bundle)
        crls = identity.crl and self.file(("crl",), identity.crl, self._crls)
        return FileTrust(name_roots or (), crls or ())

    def _crls(self, data: bytes) -> tuple[x509.CertificateRevocationList, ...]:
        crls = parse_crls(data)
        check_begun(crls, self._now)
        return crls

    def _name_roots(self, path: Path | None) -> tuple[x509.Certificate, ...] | None:
        if path is None:
            return None
        roots = self.file(("name_bundle",), path, parse_name_bundle)
        if roots is not None:
            self._check_roots(roots, ("name_bundle",), path)
        return roots

    def _check_roots(
        self, roots: Sequence[x509.Certificate], place: Place, path: Path
    ) -> None:
        if self._known.issuperset(roots):
            return
        last = max((root.not_valid_after_utc for root in roots), default=None)
        if last is not None and last < self._now:
            every = f"all {len(roots)} certificates expired, the last"
            fate = "expired" if len(roots) == 1 else every
            what = f"{shown_path(path)}: {fate} {self._moment(last)}"
            self.findings.append(Finding(place, what))

    def file(
        self, place: Place, path: Path | None, parse: Callable[[bytes], T]
    ) -> T | None:
        """Read and parse a file; None, and a finding, where that cannot be done."""
        if path is None:
            self.findings.append(Finding(place, "missing"))
            return None
        return self._try(place, path, lambda: parse(read_bounded(path, _LARGEST)))

    def _try(self, place: Place, path: Path | None, use: Callable[[], T]) -> T | None:
        try:
            return use()
        except _USELESS as error:
            self.findings.append(Finding(place, f"{shown_path(path)}: {error}"))
            return None

    def _moment(self, moment: dt.datetime) -> str:
        return f"{stamp(moment)}, {seen_from(moment, self._now)}"


def _certificates_of(known: Material | FileTrust | None) -> set[x509.Certificate]:
    if known is None:
        return set()
    found = {*known.name_roots}
    if isinstance(known, Material):
        found.update(svid.leaf for svid in (known.svid, *known.additional.values()))
        for bundle in known.bundles.values():
            found.update(bundle.roots)
    return found
