"""The rules that make a certificate an SVID, one by one, each with its clause.

They are a table so that the handshake, which stops at the first broken rule, and
`sidecar certs show`, which explains them all, cannot differ. What takes more than
the certificate itself is not here: the path to a root, validity and revocation
are RFC 5280's, and OpenSSL's to check (X509-SVID 5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from attrs import frozen
from cryptography.x509.oid import ExtendedKeyUsageOID

from sidecar.identity.facts import Facts
from sidecar.identity.reading import SvidError, read_subject
from sidecar.identity.spiffe_id import (
    SpiffeId,
    SpiffeIdError,
    parse_trust_domain_id,
)

Check: TypeAlias = Callable[[Facts], str | None]

_PURPOSES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
}


@frozen
class Rule:
    """One rule of a standard.

    Attributes:
        code: Its name, stable: ``key-usage-critical``.
        clause: Where it stands: ``X509-SVID 4.3``.
        text: What has to hold.
        found: What the certificate has instead, or None if the rule holds. It
            raises `SvidError` where the certificate cannot be parsed.
    """

    code: str
    clause: str
    text: str
    found: Check

    def check(self, facts: Facts) -> None:
        """Return if the rule holds.

        Raises:
            SvidError: It is broken, or what it asks for cannot be parsed.
        """
        found = self.found(facts)
        if found is not None:
            raise SvidError(self.code, self.clause, f"{self.text}, got {found}")


def _rule(code: str, clause: str, text: str) -> Callable[[Check], Rule]:
    return lambda found: Rule(code, clause, text, found)


@_rule("uri-san-one", "X509-SVID 2", "there must be exactly one URI SAN")
def _uri_san_one(facts: Facts) -> str | None:
    return None if len(facts.uris) == 1 else str(len(facts.uris))


@_rule("spiffe-id", "SPIFFE-ID 2", "the URI SAN must be a SPIFFE ID")
def _spiffe_id(facts: Facts) -> str | None:
    for uri in facts.uris:
        # One without a path names a trust domain, and breaks the next rule.
        parse = SpiffeId.parse if _has_path(uri) else parse_trust_domain_id
        try:
            parse(uri)
        except SpiffeIdError as error:
            return f"one that {error}"
    return None


@_rule("spiffe-id-path", "X509-SVID 3.1", "a leaf's SPIFFE ID must have a path")
def _spiffe_id_path(facts: Facts) -> str | None:
    if all(map(_has_path, facts.uris)):
        return None
    return "one that names a trust domain alone"


def _has_path(uri: str) -> bool:
    return "/" in uri.removeprefix("spiffe://")


@_rule("leaf-not-ca", "X509-SVID 4.1", "a leaf must have cA false")
def _leaf_not_ca(facts: Facts) -> str | None:
    return "true" if facts.ca else None


@_rule("key-usage-present", "X509-SVID 4.3", "there must be a key usage")
def _key_usage_present(facts: Facts) -> str | None:
    return None if facts.key_usage else "none"


@_rule("key-usage-critical", "X509-SVID 4.3", "the key usage must be critical")
def _key_usage_critical(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "one that is not" if usage and not facts.key_usage_critical else None


@_rule("digital-signature", "X509-SVID 4.3", "a leaf must have digitalSignature")
def _digital_signature(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "a key usage without it" if usage and not usage.digital_signature else None


@_rule("leaf-no-cert-sign", "X509-SVID 4.3", "a leaf must not have keyCertSign")
def _leaf_no_cert_sign(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "a key usage with it" if usage and usage.key_cert_sign else None


@_rule("leaf-no-crl-sign", "X509-SVID 4.3", "a leaf must not have cRLSign")
def _leaf_no_crl_sign(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "a key usage with it" if usage and usage.crl_sign else None


@_rule(
    "extended-key-usage",
    "X509-SVID 4.4",
    "an extended key usage must have both serverAuth and clientAuth",
)
def _extended_key_usage(facts: Facts) -> str | None:
    if facts.purposes is None:
        return None
    missing = [name for oid, name in _PURPOSES.items() if oid not in facts.purposes]
    return f"one without {' and '.join(missing)}" if missing else None


@_rule(
    "names-critical",
    "X509-SVID 3.1",
    "the subject alternative names must be critical if the subject is empty",
)
def _names_critical(facts: Facts) -> str | None:
    if facts.names_critical or read_subject(facts.certificate).rdns:
        return None
    return "an empty subject and names that are not"


@_rule("signer-ca", "X509-SVID 4.1", "a signing certificate must have cA true")
def _signer_ca(facts: Facts) -> str | None:
    return None if facts.ca else "false"


@_rule(
    "signer-cert-sign", "X509-SVID 4.3", "a signing certificate must have keyCertSign"
)
def _signer_cert_sign(facts: Facts) -> str | None:
    usage = facts.key_usage
    if usage is None:
        return "no key usage"
    return None if usage.key_cert_sign else "a key usage without it"


@_rule(
    "signer-key-usage-critical",
    "X509-SVID 4.3",
    "the key usage of a signing certificate with a SPIFFE ID must be critical",
)
def _signer_key_usage_critical(facts: Facts) -> str | None:
    # The clause speaks of SVIDs, and an SVID is what has a SPIFFE ID.
    return _key_usage_critical.found(facts) if facts.spiffe_uris else None


@_rule(
    "signer-uri-san-one",
    "X509-SVID 2",
    "a signing certificate with a SPIFFE ID must have no other URI SAN",
)
def _signer_uri_san_one(facts: Facts) -> str | None:
    several = facts.spiffe_uris and len(facts.uris) > 1
    return f"{len(facts.uris)} URIs" if several else None


@_rule(
    "signer-no-path",
    "X509-SVID 3.2",
    "the SPIFFE ID of a signing certificate must name a trust domain alone",
)
def _signer_no_path(facts: Facts) -> str | None:
    for uri in facts.spiffe_uris:
        try:
            parse_trust_domain_id(uri)
        except SpiffeIdError as error:
            return f"one that {error}"
    return None


LEAF_RULES: Final = (
    _uri_san_one,
    _spiffe_id,
    _spiffe_id_path,
    _leaf_not_ca,
    _key_usage_present,
    _key_usage_critical,
    _digital_signature,
    _leaf_no_cert_sign,
    _leaf_no_crl_sign,
    _extended_key_usage,
    _names_critical,
)
"""What a peer's own certificate has to keep (X509-SVID 2, 3.1, 4 and 5.2)."""

SIGNER_RULES: Final = (
    _signer_ca,
    _signer_cert_sign,
    _signer_key_usage_critical,
    _signer_uri_san_one,
    _signer_no_path,
)
"""What an intermediate or a root has to keep (X509-SVID 3.2 and 4)."""
