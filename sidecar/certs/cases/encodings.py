"""Leaves that are not encoded as RFC 5280 says. Each must be refused.

They carry a signature of the right authority, for a parser sees them first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from cryptography import x509
from cryptography.x509.oid import ExtensionOID

from sidecar.certs import der
from sidecar.certs.authority import new_key
from sidecar.certs.blueprint import alternative_names, key_usage
from sidecar.certs.cases.case import Case, leaf_case
from sidecar.certs.cases.world import Presented, World
from sidecar.identity.der import elements, split
from sidecar.telemetry.labels import Reason

_EXTENSIONS: Final = 0xA3  # TBSCertificate.extensions, [3] (RFC 5280 4.1)
_ID_CE: Final = b"\x55\x1d"  # 2.5.29

Edit: TypeAlias = Callable[[list[bytes]], list[bytes]]


def _edited_case(name: str, clause: str, sentence: str, edit: Edit) -> Case:
    """Make a case of a good leaf whose signed part has its fields edited."""

    def build(world: World) -> Presented:
        key = new_key()
        leaf, *issuers = world.authority.sign(world.plan(key))
        fields = elements(split(leaf.tbs_certificate_bytes)[1])
        edited = world.resigned(der.encode(der.SEQUENCE, *edit(fields)))
        return Presented((edited, *issuers), key)

    return Case(name, clause, sentence, Reason.NOT_AN_SVID, build)


def _version_1(fields: list[bytes]) -> list[bytes]:
    # 4.1.2.1: version 1 is the default, left out, and has no extensions.
    _version, *rest, _extensions = fields
    return rest


def _with_extension(fields: list[bytes], extension: bytes) -> list[bytes]:
    *rest, extensions = fields
    _, sequence, _ = split(extensions)
    _, content, _ = split(sequence)
    both = der.encode(der.SEQUENCE, content, extension)
    return [*rest, der.encode(_EXTENSIONS, both)]


def _extension(value: x509.ExtensionType) -> bytes:
    last = int(value.oid.dotted_string.removeprefix("2.5.29."))
    return der.encode(
        der.SEQUENCE,
        der.encode(der.OBJECT_IDENTIFIER, _ID_CE, bytes([last])),
        der.encode(der.OCTET_STRING, value.public_bytes()),
    )


def _malformed(
    name: str, sentence: str, oid: x509.ObjectIdentifier, value: str
) -> Case:
    return leaf_case(
        name,
        "RFC 5280 4.2",
        sentence,
        lambda plan: plan.extended(
            x509.UnrecognizedExtension(oid, bytes.fromhex(value)), critical=True
        ),
    )


CASES: Final[tuple[Case, ...]] = (
    _edited_case(
        "version-1",
        "X509-SVID 2",
        "a certificate of X.509 version 1, which has no extensions",
        _version_1,
    ),
    _edited_case(
        "names-extension-twice",
        "RFC 5280 4.2",
        "two SAN extensions, the second with another SPIFFE ID",
        lambda fields: _with_extension(
            fields, _extension(alternative_names(["spiffe://example.org/admin"]))
        ),
    ),
    _edited_case(
        "key-usage-extension-twice",
        "RFC 5280 4.2",
        "two key usages",
        lambda fields: _with_extension(
            fields, _extension(key_usage("digital_signature"))
        ),
    ),
    _malformed(
        "names-malformed",
        "SANs that are no DER",
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        "ffffff",
    ),
    _malformed(
        "names-truncated",
        "SANs that end within the URI",
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        "3010860e7370696666653a2f2f",
    ),
    _malformed(
        "names-empty-extension",
        "SANs of no bytes",
        ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
        "",
    ),
    _malformed(
        "key-usage-malformed",
        "a key usage that is an integer",
        ExtensionOID.KEY_USAGE,
        "020180",
    ),
    _malformed(
        "basic-constraints-malformed",
        "a path length without cA",
        ExtensionOID.BASIC_CONSTRAINTS,
        "3003020100",
    ),
)
