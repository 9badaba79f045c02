"""The rules for a workload's certificate, in the order in which they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography.x509.oid import ExtendedKeyUsageOID

from sidecar.identity.reading import read_subject
from sidecar.identity.rules import rule
from sidecar.identity.spiffe_id import (
    SpiffeId,
    SpiffeIdError,
    parse_trust_domain_id,
)

if TYPE_CHECKING:
    from sidecar.identity.facts import Facts

_PURPOSES: Final = {
    ExtendedKeyUsageOID.SERVER_AUTH: "serverAuth",
    ExtendedKeyUsageOID.CLIENT_AUTH: "clientAuth",
}


@rule("uri-san-one", "X509-SVID 2", "there must be exactly one URI SAN")
def _uri_san_one(facts: Facts) -> str | None:
    return None if len(facts.uris) == 1 else str(len(facts.uris))


@rule("spiffe-id", "SPIFFE-ID 2", "the URI SAN must be a SPIFFE ID")
def _spiffe_id(facts: Facts) -> str | None:
    for uri in facts.uris:
        # One without a path names a trust domain, and breaks the next rule.
        parse = SpiffeId.parse if _has_path(uri) else parse_trust_domain_id
        try:
            parse(uri)
        except SpiffeIdError as error:
            return f"one that {error}"
    return None


@rule("spiffe-id-path", "X509-SVID 3.1", "a leaf's SPIFFE ID must have a path")
def _spiffe_id_path(facts: Facts) -> str | None:
    if all(map(_has_path, facts.uris)):
        return None
    return "one that names a trust domain alone"


def _has_path(uri: str) -> bool:
    return "/" in uri.removeprefix("spiffe://")


@rule("leaf-not-ca", "X509-SVID 4.1", "a leaf must have cA false")
def _leaf_not_ca(facts: Facts) -> str | None:
    return "true" if facts.ca else None


@rule("key-usage-present", "X509-SVID 4.3", "there must be a key usage")
def _key_usage_present(facts: Facts) -> str | None:
    return None if facts.key_usage else "none"


@rule("key-usage-critical", "X509-SVID 4.3", "the key usage must be critical")
def _key_usage_critical(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "one that is not" if usage and not facts.key_usage_critical else None


@rule("digital-signature", "X509-SVID 4.3", "a leaf must have digitalSignature")
def _digital_signature(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "a key usage without it" if usage and not usage.digital_signature else None


@rule("leaf-no-cert-sign", "X509-SVID 4.3", "a leaf must not have keyCertSign")
def _leaf_no_cert_sign(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "a key usage with it" if usage and usage.key_cert_sign else None


@rule("leaf-no-crl-sign", "X509-SVID 4.3", "a leaf must not have cRLSign")
def _leaf_no_crl_sign(facts: Facts) -> str | None:
    usage = facts.key_usage
    return "a key usage with it" if usage and usage.crl_sign else None


@rule(
    "extended-key-usage",
    "X509-SVID 4.4",
    "an extended key usage must have both serverAuth and clientAuth",
)
def _extended_key_usage(facts: Facts) -> str | None:
    if facts.purposes is None:
        return None
    missing = [name for oid, name in _PURPOSES.items() if oid not in facts.purposes]
    return f"one without {' and '.join(missing)}" if missing else None


@rule(
    "names-critical",
    "X509-SVID 3.1",
    "the subject alternative names must be critical if the subject is empty",
)
def _names_critical(facts: Facts) -> str | None:
    if facts.names_critical or read_subject(facts.certificate).rdns:
        return None
    return "an empty subject and names that are not"


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
