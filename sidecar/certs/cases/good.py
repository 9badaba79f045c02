"""Leaves that keep every rule. Each must be accepted."""

from __future__ import annotations

import functools
import ipaddress
import string
from typing import Final

from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sidecar.certs.authority import new_key
from sidecar.certs.blueprint import BOTH_PURPOSES, Blueprint, key_usage
from sidecar.certs.cases.case import Case, case, leaf_case, uri_case
from sidecar.certs.cases.world import PARTNER, Presented, World
from sidecar.identity.spiffe_id import MAX_LENGTH
from sidecar.telemetry.labels import Reason

_ACME: Final = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Acme")])
_CHARACTERS: Final = string.ascii_letters + string.digits + "-._"
_UNKNOWN_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")  # RFC 5612
_OK: Final = Reason.OK


@functools.cache
def _rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)  # a tenth of a second: one for all


def _p384_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def _more_names(plan: Blueprint, *names: x509.GeneralName) -> Blueprint:
    """Put *names* before and after the URI of *plan*, which stays the only one."""
    uris = plan.find(x509.SubjectAlternativeName)
    both = x509.SubjectAlternativeName([*names, *uris, *names])
    return plan.extended(both, critical=True)


def _subject_beside(plan: Blueprint, *, critical: bool) -> Blueprint:
    names = plan.find(x509.SubjectAlternativeName)
    return evolve(plan.extended(names, critical=critical), subject=_ACME)


@case("longest-id", "SPIFFE-ID 2.3", "a SPIFFE ID of 2048 bytes", _OK)
def _longest_id(world: World) -> Presented:
    key = new_key()
    plan = world.plan(key, world.id("/").ljust(MAX_LENGTH, "a"))
    return Presented(world.authority.sign(plan), key)


@case(
    "trust-domain-of-a-partner",
    "SPIFFE-ID 3.1",
    "a leaf of another trust domain, signed by that domain's authority",
    _OK,
)
def _of_a_partner(world: World) -> Presented:
    key = new_key()
    plan = world.plan(key, f"spiffe://{PARTNER}/ns/shop/sa/cart")
    return Presented(world.partner.sign(plan), key)


@case(
    "not-revoked",
    "RFC 5280 6.3",
    "a leaf that the revocation list does not name",
    _OK,
    with_crl=True,
)
def _not_revoked(world: World) -> Presented:
    key = new_key()
    return Presented(world.authority.sign(world.plan(key)), key)


IDS: Final = (
    uri_case(
        "path-one-segment", "SPIFFE-ID 2.2", "one segment", "spiffe://{}/a", reason=_OK
    ),
    uri_case(
        "path-deep",
        "SPIFFE-ID 2.2",
        "a path of a hundred segments",
        "spiffe://{}" + "/a" * 100,
        reason=_OK,
    ),
    uri_case(
        "path-every-character",
        "SPIFFE-ID 2.2",
        "every character that a path may have",
        "spiffe://{}/" + _CHARACTERS,
        reason=_OK,
    ),
    uri_case(
        "path-three-dots",
        "SPIFFE-ID 2.2",
        "the segment '...', which is no relative one",
        "spiffe://{}/a/.../b",
        reason=_OK,
    ),
    uri_case(
        "path-dots-in-segments",
        "SPIFFE-ID 2.2",
        "dots at the ends of segments",
        "spiffe://{}/.a/b./..c/d..",
        reason=_OK,
    ),
    uri_case(
        "path-upper-case",
        "SPIFFE-ID 2.4",
        "a path in upper case, which is another identity",
        "spiffe://{}/NS/SHOP",
        reason=_OK,
    ),
    _longest_id,
    _of_a_partner,
)

NAMES: Final = (
    leaf_case(
        "minimal", "X509-SVID 2", "what the standard asks, no more", lambda p: p, _OK
    ),
    leaf_case(
        "names-dns",
        "X509-SVID 2",
        "DNS SANs before and after the URI",
        lambda plan: _more_names(plan, x509.DNSName("cart.example.org")),
        _OK,
    ),
    leaf_case(
        "names-dns-many",
        "X509-SVID 2",
        "a hundred DNS SANs",
        lambda plan: _more_names(
            plan, *(x509.DNSName(f"cart-{n}.example.org") for n in range(50))
        ),
        _OK,
    ),
    leaf_case(
        "names-ip",
        "X509-SVID 2",
        "SANs of addresses",
        lambda plan: _more_names(
            plan,
            x509.IPAddress(ipaddress.ip_address("10.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        ),
        _OK,
    ),
    leaf_case(
        "names-email",
        "X509-SVID 2",
        "SANs of mailboxes",
        lambda plan: _more_names(plan, x509.RFC822Name("cart@example.org")),
        _OK,
    ),
    leaf_case(
        "subject",
        "X509-SVID 3.1",
        "a subject, and names that are critical all the same",
        lambda plan: _subject_beside(plan, critical=True),
        _OK,
    ),
    leaf_case(
        "subject-names-not-critical",
        "X509-SVID 3.1",
        "a subject, and names that are not critical",
        lambda plan: _subject_beside(plan, critical=False),
        _OK,
    ),
)

USAGES: Final = (
    leaf_case(
        "basic-constraints-missing",
        "X509-SVID 4.1",
        "no basic constraints, which means cA false",
        lambda plan: plan.without(x509.BasicConstraints),
        _OK,
    ),
    leaf_case(
        "basic-constraints-not-critical",
        "RFC 5280 4.2.1.9",
        "basic constraints of a leaf that are not critical",
        lambda plan: plan.extended(
            x509.BasicConstraints(ca=False, path_length=None), critical=False
        ),
        _OK,
    ),
    leaf_case(
        "key-encipherment",
        "X509-SVID 4.3",
        "an RSA key with keyEncipherment beside digitalSignature",
        lambda plan: plan.extended(
            key_usage("digital_signature", "key_encipherment"), critical=True
        ),
        _OK,
        make_key=_rsa_key,
    ),
    leaf_case(
        "key-agreement",
        "X509-SVID 4.3",
        "keyAgreement beside digitalSignature",
        lambda plan: plan.extended(
            key_usage("digital_signature", "key_agreement"), critical=True
        ),
        _OK,
    ),
    leaf_case(
        "extended-key-usage-missing",
        "X509-SVID 4.4",
        "no extended key usage",
        lambda plan: plan.without(x509.ExtendedKeyUsage),
        _OK,
    ),
    leaf_case(
        "extended-key-usage-critical",
        "X509-SVID 4.4",
        "an extended key usage that is critical",
        lambda plan: plan.extended(x509.ExtendedKeyUsage(BOTH_PURPOSES), critical=True),
        _OK,
    ),
    leaf_case(
        "extended-key-usage-more",
        "X509-SVID 4.4",
        "a third purpose beside the two",
        lambda plan: plan.extended(
            x509.ExtendedKeyUsage([*BOTH_PURPOSES, ExtendedKeyUsageOID.CODE_SIGNING]),
            critical=False,
        ),
        _OK,
    ),
    leaf_case(
        "rsa-key", "RFC 8446 4.2.3", "an RSA key", lambda p: p, _OK, make_key=_rsa_key
    ),
    leaf_case(
        "p384-key",
        "RFC 8446 4.2.3",
        "a key on P-384",
        lambda p: p,
        _OK,
        make_key=_p384_key,
    ),
    leaf_case(
        "unknown-extension",
        "RFC 5280 4.2",
        "an extension that nobody knows, not critical",
        lambda plan: plan.extended(
            x509.UnrecognizedExtension(_UNKNOWN_OID, b"\x05\x00"), critical=False
        ),
        _OK,
    ),
    _not_revoked,
)

CASES: Final[tuple[Case, ...]] = IDS + NAMES + USAGES
