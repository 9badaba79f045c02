"""Whose certificate a file has, by the verifier of the handshake."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from attrs import evolve
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.config.files import UnreadableError, read_bounded
from sidecar.config.material import read_trust
from sidecar.config.place import Invalid, problems_under
from sidecar.config.problems import ConfigError
from sidecar.identity.names import CertificateNames
from sidecar.identity.reading import SvidError, read_der, read_pem
from sidecar.identity.svid import has_spiffe_uri, leaf_spiffe_id
from sidecar.policytools.entry import Refused
from sidecar.policytools.question import QuestionError
from sidecar.telemetry.labels import Reason
from sidecar.tls.refusal import Refusal
from sidecar.tls.verify import Verifier

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography import x509

    from sidecar.config.model import Config
    from sidecar.identity.peer import Peer
    from sidecar.policytools.entry import Call

_LARGEST: Final = 1024 * 1024
_SEQUENCE: Final = b"\x30"  # with which DER begins, and no text does
_NAME_ONLY: Final = "of the certificate only the name is judged: no bundles are known"


def with_certificate(call: Call, path: Path, config: Config | None) -> Call:
    """Give *call* as one that shows the certificate, and intermediates, of a file.

    Args:
        call: Of a peer that is not known yet.
        path: PEM, the leaf first; or DER.
        config: Names the bundles, as files; None where they are out of reach.

    Raises:
        QuestionError: The file cannot be read.
        ConfigError: A bundle cannot be.
    """
    try:
        data = read_bounded(path, _LARGEST)
        chain = read_der(data) if data[:1] == _SEQUENCE else read_pem(data)
    except (UnreadableError, SvidError) as error:
        raise QuestionError([f"--certificate: {path}: {error}"]) from None
    if config is None or not config.identity.from_files:
        return _named(call, chain[0])
    return _verified(call, chain, config)


def _named(call: Call, leaf: x509.Certificate) -> Call:
    call = evolve(call, notes=(*call.notes, _NAME_ONLY))
    try:
        return evolve(call, peer=_peer(leaf))
    except SvidError as error:
        return evolve(call, refused=Refused(Reason.NOT_AN_SVID, str(error)))


def _peer(leaf: x509.Certificate) -> Peer:
    return leaf_spiffe_id(leaf) if has_spiffe_uri(leaf) else CertificateNames.of(leaf)


def _verified(call: Call, chain: tuple[x509.Certificate, ...], config: Config) -> Call:
    now = dt.datetime.now(dt.UTC)
    try:
        trust = read_trust(config.identity, now)
    except Invalid as error:
        problems = problems_under("identity", error.findings)
        raise ConfigError("identity", problems) from None
    skew = dt.timedelta(seconds=config.tls.clock_skew_seconds)
    verifier = Verifier(trust, lambda: now, skew)
    found = verifier.verify(tuple(each.public_bytes(Encoding.DER) for each in chain))
    if not isinstance(found, Refusal):
        return evolve(call, peer=found, verified=True)
    found = found.suspecting_clocks(skew)
    try:
        peer = _peer(chain[0])
    except SvidError:
        peer = None
    return evolve(call, peer=peer, refused=Refused(found.reason, found.detail))
