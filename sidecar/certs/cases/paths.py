"""Good leaves that lead nowhere, or not any more. Each must be refused."""

from __future__ import annotations

import datetime as dt
from typing import Final

from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from sidecar.certs.authority import Authority, new_key
from sidecar.certs.cases.case import Case, case, leaf_case, uri_case
from sidecar.certs.cases.world import PARTNER, STRANGER, Presented, World
from sidecar.telemetry.labels import Reason

_HOUR: Final = dt.timedelta(hours=1)
_UNKNOWN_OID: Final = x509.ObjectIdentifier("1.3.6.1.4.1.32473.1")  # RFC 5612


def _signed_by(world: World, authority: Authority, uri: str | None = None) -> Presented:
    key = new_key()
    return Presented(authority.sign(world.plan(key, uri)), key)


@case(
    "trust-domain-unknown",
    "SPIFFE-ID 3.1",
    "a leaf of a trust domain whose bundle nobody gave",
    Reason.UNKNOWN_TRUST_DOMAIN,
)
def _stranger(world: World) -> Presented:
    return _signed_by(world, world.stranger, f"spiffe://{STRANGER}/ns/shop/sa/cart")


@case(
    "signed-by-another-domain",
    "X509-SVID 5.2",
    "a leaf of our trust domain, signed by a partner's authority",
    Reason.UNTRUSTED_CHAIN,
)
def _by_the_partner(world: World) -> Presented:
    return _signed_by(world, world.partner)


@case(
    "signed-below-another-domain",
    "X509-SVID 5.2",
    "a leaf below an intermediate for our trust domain that a partner signed",
    Reason.UNTRUSTED_CHAIN,
)
def _below_the_partner(world: World) -> Presented:
    key = new_key()
    return _signed_by(world, world.partner.below(world.signer_plan(key), key))


@case(
    "signed-for-another-domain",
    "X509-SVID 5.2",
    "a leaf of a partner's trust domain, signed by our authority",
    Reason.UNTRUSTED_CHAIN,
)
def _for_the_partner(world: World) -> Presented:
    return _signed_by(world, world.authority, f"spiffe://{PARTNER}/ns/shop/sa/cart")


@case(
    "authority-unknown",
    "X509-SVID 5.1",
    "a leaf signed by an unknown authority of the same name",
    Reason.UNTRUSTED_CHAIN,
)
def _by_the_impostor(world: World) -> Presented:
    return _signed_by(world, world.impostor)


@case(
    "authority-unknown-shown",
    "X509-SVID 5.1",
    "the same, with the unknown authority's root in the chain",
    Reason.UNTRUSTED_CHAIN,
)
def _impostor_shown(world: World) -> Presented:
    shown = _signed_by(world, world.impostor)
    return evolve(shown, chain=(shown.leaf, world.impostor.root))


@case(
    "self-signed", "X509-SVID 5.1", "a leaf that signs itself", Reason.UNTRUSTED_CHAIN
)
def _self_signed(world: World) -> Presented:
    key = new_key()
    return Presented((world.plan(key).sign(key),), key)


@case(
    "leaf-as-issuer",
    "X509-SVID 3.2",
    "a leaf signed by another leaf",
    Reason.UNTRUSTED_CHAIN,
)
def _below_a_leaf(world: World) -> Presented:
    key = new_key()
    return _signed_by(world, world.authority.below(world.plan(key), key))


@case(
    "signature-changed",
    "RFC 5280 6.1.3",
    "a leaf of which one bit was changed after it was signed",
    Reason.UNTRUSTED_CHAIN,
)
def _changed(world: World) -> Presented:
    shown = _signed_by(world, world.authority)
    encoded = bytearray(shown.leaf.public_bytes(Encoding.DER))
    # The last bit of the signature's last number: still good DER.
    encoded[-1] ^= 1
    changed = x509.load_der_x509_certificate(bytes(encoded))
    return evolve(shown, chain=(changed, *shown.chain[1:]))


@case(
    "signature-of-another-key",
    "RFC 5280 6.1.3",
    "a leaf that names our authority and its key, signed with another",
    Reason.UNTRUSTED_CHAIN,
)
def _forged(world: World) -> Presented:
    key = new_key()
    leaf = world.plan(key).sign(world.impostor.private_key, world.authority.root)
    return Presented((leaf,), key)


@case(
    "revoked", "RFC 5280 6.3", "a leaf that is revoked", Reason.REVOKED, with_crl=True
)
def _revoked(world: World) -> Presented:
    key = new_key()
    plan = evolve(world.plan(key), serial=world.revoked_serial)
    return Presented(world.authority.sign(plan), key)


CASES: Final[tuple[Case, ...]] = (
    leaf_case(
        "expired",
        "RFC 5280 4.1.2.5",
        "a leaf that is expired",
        lambda plan: evolve(
            plan,
            not_before=plan.not_before - 2 * _HOUR,
            not_after=plan.not_before - _HOUR,
        ),
        Reason.EXPIRED,
    ),
    leaf_case(
        "not-yet-valid",
        "RFC 5280 4.1.2.5",
        "a leaf that is not valid yet",
        lambda plan: evolve(
            plan,
            not_before=plan.not_after + _HOUR,
            not_after=plan.not_after + 2 * _HOUR,
        ),
        Reason.NOT_YET_VALID,
    ),
    leaf_case(
        "unknown-critical-extension",
        "RFC 5280 4.2",
        "a critical extension that nobody knows",
        lambda plan: plan.extended(
            x509.UnrecognizedExtension(_UNKNOWN_OID, b"\x05\x00"), critical=True
        ),
        Reason.UNTRUSTED_CHAIN,
    ),
    uri_case(
        "trust-domain-255",
        "SPIFFE-ID 2.3",
        "a trust domain of 255 bytes, well formed and unknown",
        f"spiffe://{'a' * 255}/a",
        reason=Reason.UNKNOWN_TRUST_DOMAIN,
    ),
    uri_case(
        "trust-domain-ipv4",
        "SPIFFE-ID 2.1",
        "a trust domain that looks like an address, well formed and unknown",
        "spiffe://10.0.0.1/a",
        reason=Reason.UNKNOWN_TRUST_DOMAIN,
    ),
    uri_case(
        "trust-domain-prefix",
        "SPIFFE-ID 2.1",
        "a trust domain that ends like ours, well formed and unknown",
        "spiffe://a_b-1.{}/a",
        reason=Reason.UNKNOWN_TRUST_DOMAIN,
    ),
    _stranger,
    _by_the_partner,
    _below_the_partner,
    _for_the_partner,
    _by_the_impostor,
    _impostor_shown,
    _self_signed,
    _below_a_leaf,
    _changed,
    _forged,
    _revoked,
)
