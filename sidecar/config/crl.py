"""Certificate revocation lists, as files carry them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from cryptography import x509

from sidecar.config.moments import seen_from, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_PEM: Final = re.compile(_BEGIN + rb".*?-----END X509 CRL-----", re.DOTALL)


class CrlError(ValueError):
    """The bytes are no revocation lists; the message says what is expected."""


def parse_crls(data: bytes) -> tuple[x509.CertificateRevocationList, ...]:
    """Parse the lists of a file: any number in PEM, or one in DER.

    Raises:
        CrlError: There is none, or one that cannot be parsed. No other exception
            escapes, whatever the bytes.
    """
    blocks = _PEM.findall(data)
    if len(blocks) != data.count(_BEGIN):
        # Half of a list revokes nobody; passing it over would admit whom it names.
        raise CrlError("a list begins in it and does not end")
    try:
        if blocks:
            return tuple(map(x509.load_pem_x509_crl, blocks))
        return (x509.load_der_x509_crl(data),)
    except (ValueError, x509.InvalidVersion):
        raise CrlError(
            "must be certificate revocation lists in PEM, or one in DER, "
            "got something else"
        ) from None


def check_begun(crls: Iterable[x509.CertificateRevocationList], now: datetime) -> None:
    """Refuse lists that are not valid yet, for OpenSSL would refuse all by them.

    The clock of their CA may be ahead of ours. The list before them serves until then.

    Raises:
        CrlError: One is not; the message says which, and how long it takes.
    """
    for number, crl in enumerate(crls, 1):
        begin = crl.last_update_utc
        if now < begin:
            moment = f"{stamp(begin)}, {seen_from(begin, now)}"
            raise CrlError(f"list {number} is not valid before {moment}")
