"""The rules for intermediates and roots, in the order in which they are asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sidecar.identity.rules import rule
from sidecar.identity.spiffe_id import SpiffeIdError, parse_trust_domain_id

if TYPE_CHECKING:
    from sidecar.identity.facts import Facts


@rule("signer-ca", "X509-SVID 4.1", "a signing certificate must have cA true")
def _signer_ca(facts: Facts) -> str | None:
    return None if facts.ca else "false"


@rule(
    "signer-cert-sign", "X509-SVID 4.3", "a signing certificate must have keyCertSign"
)
def _signer_cert_sign(facts: Facts) -> str | None:
    usage = facts.key_usage
    if usage is None:
        return "no key usage"
    return None if usage.key_cert_sign else "a key usage without it"


@rule(
    "signer-key-usage-critical",
    "X509-SVID 4.3",
    "the key usage of a signing certificate with a SPIFFE ID must be critical",
)
def _signer_key_usage_critical(facts: Facts) -> str | None:
    # The clause speaks of SVIDs, and an SVID is what has a SPIFFE ID.
    claims = facts.key_usage and facts.spiffe_uris
    return "one that is not" if claims and not facts.key_usage_critical else None


@rule(
    "signer-uri-san-one",
    "X509-SVID 2",
    "a signing certificate with a SPIFFE ID must have no other URI SAN",
)
def _signer_uri_san_one(facts: Facts) -> str | None:
    several = facts.spiffe_uris and len(facts.uris) > 1
    return f"{len(facts.uris)} URIs" if several else None


@rule(
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


SIGNER_RULES: Final = (
    _signer_ca,
    _signer_cert_sign,
    _signer_key_usage_critical,
    _signer_uri_san_one,
    _signer_no_path,
)
"""What an intermediate or a root has to keep (X509-SVID 3.2 and 4)."""
