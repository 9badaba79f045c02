from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from OpenSSL import SSL

from sidecar.config.model import Tls
from sidecar.telemetry.labels import Reason
from sidecar.tls.credentials import Credentials
from sidecar.tls.errors import HandshakeError
from sidecar.tls.handshake import _established
from sidecar.tls.openssl_binding import resumed, shown_leaf
from sidecar.tls.sessions import _FRESH_SECONDS, _KEPT, Sessions
from tests.tls.peers import (
    API,
    DONE,
    client,
    client_of,
    converse,
    credentials,
    expecting,
    issue,
    material,
    server_of,
)

if TYPE_CHECKING:
    from sidecar.certs.authority import Authority
    from sidecar.identity.svid import Svid
    from sidecar.tls.sessions import SessionSlot
    from sidecar.tls.verify import PeerCheck

_TLS = Tls()
KEY = ("10.0.0.1", 8443, "api")


@pytest.fixture
def ours(authority: Authority, partner: Authority) -> Credentials:
    """Of its own for each test: it remembers sessions."""
    return credentials(authority, partner)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def meet(
    theirs: Credentials, ours: Credentials, slot: SessionSlot
) -> tuple[SSL.Connection, SSL.Connection, PeerCheck, PeerCheck]:
    """Shake hands, and take the session when something was read."""
    server, server_check = theirs.accept()
    client, client_check = ours.connect(expecting(API), None)
    slot.offer(client, client_check)
    ends = converse(client, server)
    assert [end.outcomes for end in ends] == [[DONE], [DONE]]
    assert resumed(client) == resumed(server)
    take = slot.taker(client, client_check, resumed=resumed(client))
    if take is not None:
        take()
    # As the relay does: OpenSSL would hold an unclean end against the session.
    client.set_shutdown(3)
    return client, server, client_check, server_check


def test_the_second_connection_resumes_and_so_does_the_third(ours: Credentials) -> None:
    slot = ours.sessions.slot(KEY)
    seen = [resumed(meet(ours, ours, slot)[0]) for _ in range(4)]
    assert seen == [False, True, True, True]


def test_a_resumed_peer_is_judged_as_if_it_had_shown_its_chain(
    ours: Credentials,
) -> None:
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    client, server, client_check, server_check = meet(ours, ours, slot)
    assert (client_check.peer, server_check.peer) == (None, None)
    for connection, check in ((client, client_check), (server, server_check)):
        session = _established(connection, check)
        assert session.resumed
        assert str(session.peer) == API


def test_a_resumed_peer_that_is_trusted_no_more_is_refused(
    ours: Credentials, partner: Authority
) -> None:
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    client, server, client_check, server_check = meet(ours, ours, slot)
    changed = Credentials(
        material(
            issue(partner, f"spiffe://{partner.trust_domain}/ns/shop/sa/api"),
            partner.bundle,
        ),
        _TLS,
    )
    for connection, check in ((client, client_check), (server, server_check)):
        check.verifier = changed.accept()[1].verifier
        with pytest.raises(HandshakeError) as caught:
            _established(connection, check)
        assert caught.value.reason is Reason.UNKNOWN_TRUST_DOMAIN


def test_a_resumed_server_that_is_expected_no_more_is_refused(
    ours: Credentials,
) -> None:
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    client, _, check, _ = meet(ours, ours, slot)
    check.expected = expecting("spiffe://example.org/ns/shop/sa/other")
    with pytest.raises(HandshakeError) as caught:
        _established(client, check)
    assert caught.value.reason is Reason.UNEXPECTED_PEER


def test_a_resumed_client_below_an_intermediate_is_judged_by_its_whole_chain(
    ours: Credentials, authority: Authority
) -> None:
    middle = authority.intermediate(now=authority.certificate.not_valid_before_utc)
    below = Credentials(material(issue(middle, API), authority.bundle), _TLS)
    slot = below.sessions.slot(KEY)
    meet(ours, below, slot)
    _, server, _, check = meet(ours, below, slot)
    assert resumed(server)
    assert str(_established(server, check).peer) == API
    assert len(check.chain) == 2


def test_a_session_that_names_nobody_is_no_peer(ours: Credentials) -> None:
    _, check = ours.accept()
    check.again(None)
    assert (check.peer, check.refusal) == (None, None)


def test_who_showed_no_certificate_has_none_in_the_session(ours: Credentials) -> None:
    server, _ = ours.accept(certificate_required=False)
    assert shown_leaf(server) is None


@pytest.mark.parametrize(
    "key", [("10.0.0.2", 8443, "api"), ("10.0.0.1", 8444, "api"), (*KEY[:2], "other")]
)
def test_another_destination_or_route_is_offered_nothing(
    ours: Credentials, key: tuple[str, int, str]
) -> None:
    meet(ours, ours, ours.sessions.slot(KEY))
    client, *_ = meet(ours, ours, ours.sessions.slot(key))
    assert not resumed(client)


def test_a_new_generation_of_either_side_begins_anew(
    ours: Credentials, authority: Authority
) -> None:
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    renewed = credentials(authority)
    client, *_ = meet(renewed, ours, slot)
    assert not resumed(client)
    client, *_ = meet(ours, renewed, renewed.sessions.slot(KEY))
    assert not resumed(client)


def test_a_server_that_forgot_the_session_gives_a_new_one(
    ours: Credentials, authority: Authority
) -> None:
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    renewed = credentials(authority)
    assert [resumed(meet(renewed, ours, slot)[0]) for _ in range(2)] == [False, True]


def test_a_young_session_is_not_replaced_and_an_old_one_is(ours: Credentials) -> None:
    clock = Clock()
    slot = Sessions(clock).slot(KEY)
    client, _, check, _ = meet(ours, ours, slot)
    assert slot.taker(client, check, resumed=True) is None
    assert slot.taker(client, check, resumed=False) is not None
    clock.now = _FRESH_SECONDS
    assert slot.taker(client, check, resumed=True) is not None


def test_what_is_kept_is_bounded_and_the_oldest_goes(ours: Credentials) -> None:
    sessions = Sessions(Clock())
    client, _, check, _ = meet(ours, ours, sessions.slot(KEY))
    for port in range(_KEPT):
        take = sessions.slot(("10.0.0.2", port, "api")).taker(
            client, check, resumed=False
        )
        assert take is not None
        take()
    assert sessions.find(KEY) is None
    assert sessions.find(("10.0.0.2", 0, "api")) is not None


def test_a_session_that_was_forgotten_is_not_offered(ours: Credentials) -> None:
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    slot.forget()
    assert not resumed(meet(ours, ours, slot)[0])


def test_a_server_that_fails_when_asked_to_resume_is_asked_no_more(
    ours: Credentials, api: Svid
) -> None:
    """One that wants certificates and has not named its sessions."""
    slot = ours.sessions.slot(KEY)
    server = server_of(api)
    client, check = ours.connect(expecting(API), None)
    converse(client, server)
    take = slot.taker(client, check, resumed=False)
    assert take is not None
    take()
    client.set_shutdown(3)
    again = type(server)(server.get_context(), None)
    again.set_accept_state()
    client, check = ours.connect(expecting(API), None)
    slot.offer(client, check)
    _, end = converse(client, again)
    assert end.outcome == 277  # SSL_R_SESSION_ID_CONTEXT_UNINITIALIZED
    assert slot.is_to_blame(HandshakeError(Reason.PROTOCOL_ERROR, ""))
    assert not slot.is_to_blame(HandshakeError(Reason.PROTOCOL_ERROR, ""))
    meet(ours, ours, slot)
    assert not resumed(meet(ours, ours, slot)[0])


def test_a_server_that_cannot_resume_is_not_believed_so_for_ever(
    ours: Credentials,
) -> None:
    clock = Clock()
    slot = Sessions(clock).slot(KEY)
    meet(ours, ours, slot)
    assert slot.is_to_blame(HandshakeError(Reason.RESET, ""))
    clock.now += 599
    meet(ours, ours, slot)
    assert not resumed(meet(ours, ours, slot)[0])
    clock.now += 1
    meet(ours, ours, slot)
    assert resumed(meet(ours, ours, slot)[0])


@pytest.mark.parametrize("reason", [Reason.UNEXPECTED_PEER, Reason.TIMEOUT])
def test_a_session_is_not_to_blame_for_everything(
    ours: Credentials, reason: Reason
) -> None:
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    assert not slot.is_to_blame(HandshakeError(reason, ""))
    assert resumed(meet(ours, ours, slot)[0])


def test_what_is_hopeless_is_bounded_too(ours: Credentials) -> None:
    sessions = Sessions(Clock())
    client, _, check, _ = meet(ours, ours, sessions.slot(KEY))
    for port in range(_KEPT + 1):
        slot = sessions.slot(("10.0.0.2", port, "api"))
        take = slot.taker(client, check, resumed=False)
        assert take is not None
        take()
        assert sessions.give_up(("10.0.0.2", port, "api"))
    meet(ours, ours, sessions.slot(("10.0.0.2", 0, "api")))
    assert sessions.find(("10.0.0.2", 0, "api")) is not None


def test_a_failure_without_a_session_is_no_reason_to_give_up(ours: Credentials) -> None:
    slot = ours.sessions.slot(KEY)
    assert not slot.is_to_blame(HandshakeError(Reason.RESET, ""))
    meet(ours, ours, slot)
    assert resumed(meet(ours, ours, slot)[0])


def test_a_client_of_somebody_else_may_resume(ours: Credentials, cart: Svid) -> None:
    first = client_of(cart)
    server, _ = ours.accept()
    converse(first, server)
    session = first.get_session()
    assert session is not None
    first.set_shutdown(3)
    second = type(first)(first.get_context(), None)
    second.set_connect_state()
    second.set_session(session)
    server, check = ours.accept()
    converse(second, server)
    assert _established(server, check).resumed
    assert check.peer == cart.name


@pytest.mark.parametrize("version", [None, SSL.TLS1_2_VERSION])
def test_a_session_without_a_certificate_is_none_where_one_is_required(
    authority: Authority, version: int | None
) -> None:
    ours = credentials(authority, tls=Tls(minimum_version="1.2"))
    first = client(version=version)
    server, _ = ours.accept(certificate_required=False)
    _, end = converse(first, server)
    assert end.outcomes == [DONE]
    session = first.get_session()
    assert session is not None
    first.set_shutdown(3)
    for required in (False, True):
        again = SSL.Connection(first.get_context(), None)
        again.set_connect_state()
        again.set_session(session)
        server, check = ours.accept(certificate_required=required)
        _, end = converse(again, server)
        assert end.outcomes == ([199] if required else [DONE])
        assert resumed(server) is not required
        assert check.peer is None
        again.set_shutdown(3)


def test_where_no_session_came_none_is_kept(ours: Credentials) -> None:
    slot = ours.sessions.slot(KEY)
    client, check = ours.connect(expecting(API), None)  # and no handshake
    take = slot.taker(client, check, resumed=False)
    assert take is not None
    take()
    assert ours.sessions.find(KEY) is None


def test_no_session_leads_from_one_of_our_identities_to_another(
    authority: Authority,
) -> None:
    mine = material(issue(authority, API), authority.bundle)
    both = evolve(mine, additional={"again": issue(authority, API)})
    ours = Credentials(both, _TLS)
    slot = ours.sessions.slot(KEY)
    meet(ours, ours, slot)
    # The same name, the same trust, and the session is offered: no server context but
    # the one that gave the ticket can read it.
    assert not resumed(meet(ours.of("again"), ours, slot)[0])
    assert ours.of("again").sessions.find(KEY) is None
    own = ours.of("again").sessions.slot(KEY)
    seen = [resumed(meet(ours, ours.of("again"), own)[0]) for _ in range(2)]
    assert seen == [False, True]
