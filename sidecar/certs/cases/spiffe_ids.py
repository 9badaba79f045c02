"""Leaves whose URI SAN is no SPIFFE ID of a workload. Each must be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509

from sidecar.certs import der
from sidecar.certs.cases.case import Case, leaf_case, uri_case

if TYPE_CHECKING:
    from sidecar.certs.blueprint import Blueprint

_URI: Final = 0x86  # GeneralName, [6] IA5String (RFC 5280 4.2.1.6)


def _raw_uri(uri: bytes, plan: Blueprint) -> Blueprint:
    """Name *uri* byte for byte, also where it is not the ASCII that it has to be."""
    names = der.encode(der.SEQUENCE, der.encode(_URI, uri))
    oid = x509.SubjectAlternativeName.oid
    return plan.extended(x509.UnrecognizedExtension(oid, names), critical=True)


SCHEMES: Final = (
    uri_case("scheme-https", "SPIFFE-ID 2", "a URI of another scheme", "https://{}/a"),
    uri_case("scheme-missing", "SPIFFE-ID 2", "a URI without a scheme", "{}/a"),
    uri_case(
        "scheme-longer", "SPIFFE-ID 2", "a scheme that begins alike", "spiffes://{}/a"
    ),
    uri_case("urn", "SPIFFE-ID 2", "a URI without an authority", "urn:spiffe:{}:a"),
    uri_case("authority-missing", "SPIFFE-ID 2", "one slash only", "spiffe:/{}/a"),
    uri_case("query", "SPIFFE-ID 2", "a query", "spiffe://{}/a?b=c"),
    uri_case("query-empty", "SPIFFE-ID 2", "an empty query", "spiffe://{}/a?"),
    uri_case("fragment", "SPIFFE-ID 2", "a fragment", "spiffe://{}/a#b"),
    uri_case("fragment-empty", "SPIFFE-ID 2", "an empty fragment", "spiffe://{}/a#"),
    uri_case(
        "space-before", "SPIFFE-ID 2", "a space before the scheme", " spiffe://{}/a"
    ),
)

TRUST_DOMAINS: Final = (
    uri_case("trust-domain-empty", "SPIFFE-ID 2.1", "no trust domain", "spiffe:///a"),
    uri_case("userinfo", "SPIFFE-ID 2.1", "a user", "spiffe://user@{}/a"),
    uri_case("userinfo-empty", "SPIFFE-ID 2.1", "an empty user", "spiffe://@{}/a"),
    uri_case("password", "SPIFFE-ID 2.1", "a password", "spiffe://user:word@{}/a"),
    uri_case("port", "SPIFFE-ID 2.1", "a port", "spiffe://{}:443/a"),
    uri_case(
        "trust-domain-upper-case",
        "SPIFFE-ID 2.1",
        "upper case in the trust domain",
        "spiffe://X.{}/a",
    ),
    uri_case(
        "trust-domain-percent",
        "SPIFFE-ID 2.1",
        "a percent-encoded character in the trust domain",
        "spiffe://%61.{}/a",
    ),
    uri_case(
        "trust-domain-character",
        "SPIFFE-ID 2.1",
        "a character that no trust domain has",
        "spiffe://a~b.{}/a",
    ),
    uri_case(
        "trust-domain-ipv6", "SPIFFE-ID 2.1", "an IPv6 address", "spiffe://[::1]/a"
    ),
    uri_case(
        "trust-domain-256",
        "SPIFFE-ID 2.3",
        "a trust domain of 256 bytes",
        f"spiffe://{'a' * 256}/a",
    ),
)

PATHS: Final = (
    uri_case("path-missing", "X509-SVID 3.1", "a trust domain alone", "spiffe://{}"),
    uri_case("path-root", "SPIFFE-ID 2.2", "the root path", "spiffe://{}/"),
    uri_case(
        "path-percent", "SPIFFE-ID 2.2", "a percent-encoded letter", "spiffe://{}/%61"
    ),
    uri_case(
        "path-percent-slash",
        "SPIFFE-ID 2.2",
        "a percent-encoded slash",
        "spiffe://{}/ns%2fshop",
    ),
    uri_case("segment-empty", "SPIFFE-ID 2.2", "an empty segment", "spiffe://{}/a//b"),
    uri_case("segment-first-empty", "SPIFFE-ID 2.2", "two slashes", "spiffe://{}//a"),
    uri_case("segment-dot", "SPIFFE-ID 2.2", "the segment '.'", "spiffe://{}/a/./b"),
    uri_case("segment-dots", "SPIFFE-ID 2.2", "the segment '..'", "spiffe://{}/a/../b"),
    uri_case(
        "segment-last-dots", "SPIFFE-ID 2.2", "'..' at the end", "spiffe://{}/a/.."
    ),
    uri_case("trailing-slash", "SPIFFE-ID 2.2", "a slash at the end", "spiffe://{}/a/"),
    uri_case("path-tilde", "SPIFFE-ID 2.2", "a tilde in the path", "spiffe://{}/~a"),
    uri_case("path-colon", "SPIFFE-ID 2.2", "a colon in the path", "spiffe://{}/a:b"),
    uri_case("path-space", "SPIFFE-ID 2.2", "a space in the path", "spiffe://{}/a b"),
    uri_case(
        "path-newline", "SPIFFE-ID 2.2", "a newline at the end", "spiffe://{}/a\n"
    ),
    uri_case("path-nul", "SPIFFE-ID 2.2", "a NUL in the path", "spiffe://{}/a\x00.b"),
    uri_case(
        "id-2049",
        "SPIFFE-ID 2.3",
        "a SPIFFE ID of more than 2048 bytes",
        "spiffe://{}/" + "a" * 2048,
    ),
)

ENCODINGS: Final = (
    leaf_case(
        "path-not-ascii",
        "SPIFFE-ID 2.2",
        "a letter of UTF-8 in the path",
        lambda plan: _raw_uri("spiffe://example.org/ä".encode(), plan),
    ),
    leaf_case(
        "uri-not-ascii",
        "RFC 5280 4.2.1.6",
        "a URI of bytes that are no text at all",
        lambda plan: _raw_uri(b"spiffe://example.org/\xff", plan),
    ),
    leaf_case(
        "uri-empty",
        "SPIFFE-ID 2",
        "an empty URI",
        lambda plan: _raw_uri(b"", plan),
    ),
)

CASES: Final[tuple[Case, ...]] = SCHEMES + TRUST_DOMAINS + PATHS + ENCODINGS
