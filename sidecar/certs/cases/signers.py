"""Good leaves below intermediates, which are good or break a rule."""

from __future__ import annotations

import datetime as dt
from typing import Final

from attrs import evolve
from cryptography import x509

from sidecar.certs.authority import Authority, new_key
from sidecar.certs.blueprint import Blueprint, alternative_names, key_usage
from sidecar.certs.cases.case import Case, case, signer_case
from sidecar.certs.cases.world import PARTNER, Presented, World
from sidecar.telemetry.labels import Reason

_HOUR: Final = dt.timedelta(hours=1)


def _constraints(plan: Blueprint, *, ca: bool, length: int | None = None) -> Blueprint:
    value = x509.BasicConstraints(ca=ca, path_length=length)
    return plan.extended(value, critical=True)


def _identified(plan: Blueprint, *uris: str) -> Blueprint:
    """Name *plan* by these URIs; ``{}`` in them is the one that it has."""
    (own,) = plan.find(x509.SubjectAlternativeName).get_values_for_type(
        x509.UniformResourceIdentifier
    )
    names = alternative_names([uri.replace("{}", own) for uri in uris])
    return plan.extended(names, critical=False)


def _permitted(plan: Blueprint, host: str) -> Blueprint:
    subtree = x509.UniformResourceIdentifier(host)
    return plan.extended(x509.NameConstraints([subtree], None), critical=True)


def _excluded(plan: Blueprint, host: str) -> Blueprint:
    subtree = x509.UniformResourceIdentifier(host)
    return plan.extended(x509.NameConstraints(None, [subtree]), critical=True)


def _below(world: World, authority: Authority) -> Presented:
    key = new_key()
    return Presented(authority.sign(world.plan(key)), key)


def _constrained_case(
    name: str, sentence: str, reason: Reason, *, permitted: bool, other: str | None
) -> Case:
    """Make a case of a URI name constraint, of our trust domain or of another."""

    @case(name, "X509-SVID 4.2", sentence, reason)
    def built(world: World) -> Presented:
        key = new_key()
        constrain = _permitted if permitted else _excluded
        plan = constrain(world.signer_plan(key), other or world.trust_domain)
        return _below(world, world.authority.below(plan, key))

    return built


@case("two-intermediates", "X509-SVID 3.2", "two intermediates", Reason.OK)
def _two(world: World) -> Presented:
    lower = world.authority.intermediate(now=world.now).intermediate(now=world.now)
    return _below(world, lower)


@case(
    "intermediates-in-another-order",
    "RFC 8446 4.4.2",
    "two intermediates, the upper one first",
    Reason.OK,
)
def _unordered(world: World) -> Presented:
    shown = _two.build(world)
    leaf, lower, upper = shown.chain
    return evolve(shown, chain=(leaf, upper, lower))


@case(
    "intermediate-not-needed",
    "RFC 8446 4.4.2",
    "an intermediate that signed nothing here",
    Reason.OK,
)
def _not_needed(world: World) -> Presented:
    shown = _below(world, world.authority)
    other = world.authority.intermediate(now=world.now)
    return evolve(shown, chain=(shown.leaf, other.certificate))


@case("root-shown", "RFC 8446 4.4.2", "the root at the end of the chain", Reason.OK)
def _root_shown(world: World) -> Presented:
    shown = _below(world, world.authority.intermediate(now=world.now))
    return evolve(shown, chain=(*shown.chain, world.authority.root))


@case(
    "intermediate-not-shown",
    "RFC 5280 6.1",
    "a leaf below an intermediate that is not shown",
    Reason.UNTRUSTED_CHAIN,
)
def _not_shown(world: World) -> Presented:
    shown = _below(world, world.authority.intermediate(now=world.now))
    return evolve(shown, chain=(shown.leaf,))


@case(
    "path-length-exceeded",
    "RFC 5280 4.2.1.9",
    "an intermediate below one whose path length is 0",
    Reason.UNTRUSTED_CHAIN,
)
def _path_too_long(world: World) -> Presented:
    key = new_key()
    plan = _constraints(world.signer_plan(key, "last CA"), ca=True, length=0)
    return _below(world, world.authority.below(plan, key).intermediate(now=world.now))


GOOD: Final = (
    signer_case(
        "intermediate", "X509-SVID 3.2", "one intermediate", lambda p: p, Reason.OK
    ),
    _two,
    _unordered,
    _not_needed,
    _root_shown,
    signer_case(
        "intermediate-without-spiffe-id",
        "X509-SVID 3.2",
        "an intermediate without a SPIFFE ID",
        lambda plan: plan.without(x509.SubjectAlternativeName),
        Reason.OK,
    ),
    signer_case(
        "intermediate-without-crl-sign",
        "X509-SVID 4.3",
        "an intermediate with keyCertSign alone",
        lambda plan: plan.extended(key_usage("key_cert_sign"), critical=True),
        Reason.OK,
    ),
    signer_case(
        "path-length-kept",
        "X509-SVID 4.1",
        "an intermediate whose path length is 0",
        lambda plan: _constraints(plan, ca=True, length=0),
        Reason.OK,
    ),
    _constrained_case(
        "name-constraint-permitted",
        "an intermediate for names of its own trust domain",
        Reason.OK,
        permitted=True,
        other=None,
    ),
    _constrained_case(
        "name-constraint-not-excluded",
        "an intermediate for no name of another trust domain",
        Reason.OK,
        permitted=False,
        other=PARTNER,
    ),
)

BAD: Final = (
    signer_case(
        "intermediate-not-ca",
        "X509-SVID 4.1",
        "an intermediate with cA false",
        lambda plan: _constraints(plan, ca=False),
    ),
    signer_case(
        "intermediate-basic-constraints-missing",
        "X509-SVID 4.1",
        "an intermediate without basic constraints",
        lambda plan: plan.without(x509.BasicConstraints),
    ),
    signer_case(
        "intermediate-key-usage-missing",
        "X509-SVID 4.3",
        "an intermediate without a key usage",
        lambda plan: plan.without(x509.KeyUsage),
    ),
    signer_case(
        "intermediate-without-key-cert-sign",
        "X509-SVID 4.3",
        "an intermediate whose key usage has no keyCertSign",
        lambda plan: plan.extended(
            key_usage("digital_signature", "crl_sign"), critical=True
        ),
    ),
    signer_case(
        "intermediate-key-usage-not-critical",
        "X509-SVID 4.3",
        "an intermediate with a SPIFFE ID and a key usage that is not critical",
        lambda plan: plan.extended(key_usage("key_cert_sign"), critical=False),
    ),
    signer_case(
        "intermediate-with-path",
        "X509-SVID 3.2",
        "an intermediate whose SPIFFE ID has a path",
        lambda plan: _identified(plan, "{}/ca"),
    ),
    signer_case(
        "intermediate-of-another-domain",
        "X509-SVID 3.2",
        "an intermediate whose SPIFFE ID names another trust domain",
        lambda plan: _identified(plan, f"spiffe://{PARTNER}"),
    ),
    signer_case(
        "intermediate-two-spiffe-ids",
        "X509-SVID 2",
        "an intermediate with two SPIFFE IDs",
        lambda plan: _identified(plan, "{}", f"spiffe://{PARTNER}"),
    ),
    signer_case(
        "intermediate-expired",
        "RFC 5280 4.1.2.5",
        "an intermediate that is expired",
        lambda plan: evolve(
            plan,
            not_before=plan.not_before - 2 * _HOUR,
            not_after=plan.not_before - _HOUR,
        ),
    ),
    signer_case(
        "intermediate-not-yet-valid",
        "RFC 5280 4.1.2.5",
        "an intermediate that is not valid yet",
        lambda plan: evolve(plan, not_before=plan.not_before + _HOUR),
    ),
    _not_shown,
    _path_too_long,
    _constrained_case(
        "name-constraint-not-permitted",
        "an intermediate for names of another trust domain only",
        Reason.UNTRUSTED_CHAIN,
        permitted=True,
        other=PARTNER,
    ),
    _constrained_case(
        "name-constraint-excluded",
        "an intermediate for no name of its own trust domain",
        Reason.UNTRUSTED_CHAIN,
        permitted=False,
        other=None,
    ),
)

CASES: Final[tuple[Case, ...]] = GOOD + BAD
