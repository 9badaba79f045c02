from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from sidecar.config.model import Mode, NameKind
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policytools.entry import Call, Entry, Refused, enter
from sidecar.telemetry.labels import Reason
from tests.policytools.books import CART, CONFIG, of_files

if TYPE_CHECKING:
    from pathlib import Path

    from sidecar.config.model import Config

PEER = SpiffeId.parse(CART)
STRANGER = SpiffeId.parse("spiffe://other.test/ns/a/sa/b")
NAMES = CertificateNames(frozenset({"a.test"}), (("OU", "web"),))
STRICT, PERMISSIVE, DISABLED = 8080, 9090, 9091


@pytest.fixture
def config(tmp_path: Path) -> Config:
    found = of_files(tmp_path).config
    assert found is not None
    return found


def accepting(config: Config, *kinds: NameKind) -> Config:
    return evolve(config, identity=evolve(config.identity, accept=frozenset(kinds)))


def test_a_policy_alone_knows_of_no_mode() -> None:
    assert enter(None, Call(PEER, 1)) == Entry(None, PEER)
    assert enter(None, Call(None, 1)) == Entry(None, None)


def test_a_strict_port_takes_who_has_a_certificate(config: Config) -> None:
    assert enter(config, Call(PEER, STRICT)) == Entry(Mode.STRICT, PEER)
    entry = enter(config, Call(None, STRICT))
    assert entry.refused is not None
    assert entry.refused.reasons == (Reason.NO_CERTIFICATE, Reason.PLAINTEXT)


def test_a_permissive_port_takes_both_and_says_so(config: Config) -> None:
    both = Entry(Mode.PERMISSIVE, PEER, plaintext_too=True)
    assert enter(config, Call(PEER, PERMISSIVE)) == both
    assert enter(config, Call(None, PERMISSIVE)) == Entry(Mode.PERMISSIVE, None)


def test_a_port_without_tls_sees_no_certificate(config: Config) -> None:
    assert enter(config, Call(None, DISABLED)) == Entry(Mode.DISABLED, None)
    entry = enter(config, Call(PEER, DISABLED))
    assert (entry.peer, entry.refused) == (None, None)
    assert entry.notes == ("port 9091 has no TLS: whoever calls is unauthenticated",)


def test_a_trust_domain_without_a_bundle_is_refused(config: Config) -> None:
    said = f"no bundle for the trust domain of {STRANGER}"
    refused = Refused(Reason.UNKNOWN_TRUST_DOMAIN, said)
    assert enter(config, Call(STRANGER, STRICT)).refused == refused
    assert enter(config, Call(STRANGER, PERMISSIVE)) == Entry(
        Mode.PERMISSIVE, STRANGER, refused, plaintext_too=True
    )


def test_a_workload_api_may_bring_any_bundle(config: Config) -> None:
    identity = evolve(
        config.identity, certificate_chain=None, private_key=None, trust_bundles={}
    )
    entry = enter(evolve(config, identity=identity), Call(STRANGER, STRICT))
    assert entry.refused is None


def test_only_accepted_names_come_to_the_policy(config: Config) -> None:
    by_dns = accepting(config, NameKind.DNS)
    entry = enter(by_dns, Call(NAMES, STRICT))
    assert entry.peer == CertificateNames(NAMES.dns, ())
    for peer, what in (
        (PEER, "a SPIFFE ID"),
        (CertificateNames(frozenset(), NAMES.subject), "the name subject:OU=web"),
    ):
        refused = enter(by_dns, Call(peer, STRICT)).refused
        assert refused is not None
        assert refused.reason is Reason.NOT_AN_SVID
        assert refused.detail == f"expected one of identity.accept (dns), got {what}"


def test_what_the_verifier_said_counts(config: Config) -> None:
    call = Call(STRANGER, STRICT, verified=True)
    assert enter(config, call) == Entry(Mode.STRICT, STRANGER)
    refused = Refused(Reason.EXPIRED, "expired")
    for port in (STRICT, PERMISSIVE):
        assert enter(config, Call(PEER, port, refused=refused)).refused == refused
        assert enter(config, Call(None, port, refused=refused)).refused == refused
    assert enter(None, Call(PEER, STRICT, refused=refused)).refused == refused
    assert enter(config, Call(None, DISABLED, refused=refused)).refused is None


def test_the_port_of_a_listener_is_not_taken_for_that_of_its_destination(
    tmp_path: Path,
) -> None:
    fixed = CONFIG.replace('    - {listen: "[::]:15006", destination: original}\n', "")
    config = of_files(tmp_path, fixed).config
    assert enter(config, Call(PEER, 8080)).notes == ()
    assert enter(config, Call(PEER, 8443)).notes == (
        "8443 is where a listener listens: the port that counts is that of its "
        "destination, 127.0.0.1:8080 (ask for port 8080)",
    )
    assert enter(config, Call(PEER, 1)).notes == (
        "no listener leads to port 1, only to 8080",
    )


def test_a_listener_is_named_beside_one_that_leads_anywhere(config: Config) -> None:
    (note,) = enter(config, Call(PEER, 8443)).notes
    assert "(ask for port 8080)" in note
    assert enter(config, Call(PEER, 15006)).notes == (
        "15006 is where a listener listens: the port that counts is that of the "
        "application that the caller means",
    )


def test_where_nothing_listens_nothing_comes_in(config: Config) -> None:
    silent = evolve(config, inbound=evolve(config.inbound, listeners=()))
    notes = enter(silent, Call(PEER, STRICT)).notes
    assert notes == ("inbound has no listeners: no connection comes in",)
