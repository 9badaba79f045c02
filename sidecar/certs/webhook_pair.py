"""The certificate of the webhook: an API server's, of no mesh and no SPIFFE ID.

Its CA signs once and its key is forgotten: whoever reads all that is stored can
pretend to be this webhook, and nobody else.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final, Self

from attrs import evolve, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sidecar.certs import blueprint
from sidecar.certs.authority import new_key
from sidecar.certs.pem import chain_pem, key_pem

if TYPE_CHECKING:
    from collections.abc import Sequence

_PART_LEFT: Final = 3
"""A new one is made when a third of the life is left."""
SETTLED: Final = dt.timedelta(hours=1)
"""After which every pod has the certificate of a Secret that was changed: the kubelet
looks each minute or so."""


@frozen
class WebhookPair:
    """A certificate, its key and the CA that signed it, as PEM.

    Attributes:
        certificate: The leaf alone.
        ca: What an API server has to trust.
    """

    certificate: bytes
    private_key: bytes = field(repr=False)
    ca: bytes

    @classmethod
    def make(
        cls, names: Sequence[str], now: dt.datetime, lifetime: dt.timedelta
    ) -> Self:
        """Make one for these DNS names, with a CA of its own."""
        ca_key, key = new_key(), new_key()
        subject = x509.Name(
            [x509.NameAttribute(NameOID.COMMON_NAME, "sidecar webhook CA")]
        )
        # Begun as those of the mesh, which has the serials, the identifiers and the
        # times right.
        ca = evolve(
            blueprint.signer(
                "webhook", ca_key.public_key(), "x", now=now, lifetime=lifetime
            )
            .without(x509.SubjectAlternativeName)
            .extended(x509.BasicConstraints(ca=True, path_length=0), critical=True),
            subject=subject,
        ).sign(ca_key)
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        leaf = (
            blueprint.leaf("", key.public_key(), now=now, lifetime=lifetime)
            .extended(usage, critical=False)
            .extended(blueprint.alternative_names([], names), critical=True)
            .sign(ca_key, ca)
        )
        return cls(chain_pem([leaf]), key_pem(key), chain_pem([ca]))

    def fault(self, names: Sequence[str], now: dt.datetime) -> str | None:
        """Say why another one is needed; None where it is not.

        Whatever the bytes are: somebody else may have written them.
        """
        try:
            leaf = x509.load_pem_x509_certificate(self.certificate)
            (ca,) = x509.load_pem_x509_certificates(self.ca)
            key = load_pem_private_key(self.private_key, None)
            leaf.verify_directly_issued_by(ca)
            found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        except Exception as error:  # noqa: BLE001 - cryptography raises many kinds
            return f"what is there cannot be used ({type(error).__name__})"
        if key.public_key() != leaf.public_key():
            return "its key belongs to another"
        if missing := set(names) - set(found.value.get_values_for_type(x509.DNSName)):
            return f"it does not name {min(missing)}"
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        if now > end - (end - begin) / _PART_LEFT:
            return f"it ends at {end:%F %R} UTC"
        return None

    def is_settled(self, now: dt.datetime) -> bool:
        """Tell whether nobody can still be serving the one before."""
        begin = x509.load_pem_x509_certificate(self.certificate).not_valid_before_utc
        return now > begin + blueprint.BACKDATED + SETTLED


def with_older(ca: bytes, bundle: bytes, now: dt.datetime) -> bytes:
    """Put a new CA before those of *bundle* that are still good.

    What cannot be read is left out: nobody could trust it.
    """
    try:
        known = x509.load_pem_x509_certificates(bundle)
    except ValueError:
        known = []
    (new,) = x509.load_pem_x509_certificates(ca)
    older = [each for each in known if each != new and each.not_valid_after_utc > now]
    return chain_pem([new, *older[:2]])
