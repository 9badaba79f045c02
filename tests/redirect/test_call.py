from __future__ import annotations

import os
import socket

import pytest

from sidecar.config.model import Endpoint
from sidecar.redirect.call import (
    Call,
    answers,
    call,
    call_for,
    family_of,
    listening,
    original_destination,
    source_towards,
)
from sidecar.redirect.doctor.facts import Fate
from sidecar.redirect.model import Family
from tests.support.ports import free_port

LOOPBACK = "127.0.0.1"


def test_where_a_connection_arrives_is_seen_and_nobody_has_to_accept_it() -> None:
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        target = Endpoint(*listener.getsockname())
        made = call(target, 5)
        assert made.fate is Fate.ARRIVED
        assert made.at is not None
        assert (made.at.local, made.at.uid) == (target, os.geteuid())
        assert made.remote == target
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_who_stands_in_accepts_its_own_connection_and_asks_where_it_was_going() -> None:
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        target = Endpoint(*listener.getsockname())
        with socket.create_connection((LOOPBACK, target.port)):  # somebody else's
            assert original_destination(target, listener, 5) is None  # as it is not
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_a_listener_that_others_have_is_not_asked() -> None:
    with listening(LOOPBACK, 0) as listener, listening(LOOPBACK, 0) as another:
        assert listener is not None
        assert another is not None
        target = Endpoint(*another.getsockname())
        assert original_destination(target, listener, 0.1) is None
        nobody = Endpoint(LOOPBACK, free_port())
        assert original_destination(nobody, listener, 5) is None


def test_an_answer_is_one() -> None:
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        assert answers(Endpoint(*listener.getsockname()), 5)
    assert not answers(Endpoint(LOOPBACK, free_port()), 5)
    assert not answers(Endpoint("255.255.255.255", 9), 5)


def test_what_arrives_nowhere_has_left() -> None:
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        target = Endpoint(*listener.getsockname())
        listener.listen(0)
        with (
            socket.create_connection((LOOPBACK, target.port)),
            socket.socket() as second,
        ):
            # The queue is full now, and the kernel takes no more.
            second.setblocking(False)
            second.connect_ex((LOOPBACK, target.port))
            made = call(target, 0.1)
    assert (made.fate, made.at, made.remote) == (Fate.LEFT, None, target)


def test_a_refusal_is_one() -> None:
    assert call(Endpoint(LOOPBACK, free_port()), 5) == Call(Fate.REFUSED)


def test_what_cannot_be_called_says_why() -> None:
    made = call(Endpoint("255.255.255.255", 9), 5)
    assert made.fate is Fate.UNTRIED
    assert made.why_not


def test_another_user_needs_permission_and_ours_comes_back() -> None:
    before = os.geteuid(), os.getegid()
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        made = call(Endpoint(*listener.getsockname()), 5, user=(1337, 1337))
    if before[0] == 0:
        assert made.fate is Fate.ARRIVED
    else:
        assert (made.fate, made.why_not[:13]) == (Fate.UNTRIED, "not permitted")
    assert (os.geteuid(), os.getegid()) == before


def test_an_address_that_is_taken_is_not_listened_at() -> None:
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        with listening(LOOPBACK, listener.getsockname()[1]) as second:
            assert second is None


def test_the_source_of_a_packet_is_known_before_it_is_sent() -> None:
    assert source_towards(Endpoint("127.0.0.9", 9)) == LOOPBACK
    assert source_towards(Endpoint("255.255.255.255", 9)) is None


def test_an_address_has_a_family() -> None:
    assert family_of(Endpoint("10.0.0.1", 1)) is Family.IPV4
    assert family_of(Endpoint("::1", 1)) is Family.IPV6


def test_a_call_for_somebody_needs_permission_and_somebody_who_listens() -> None:
    """From our own address, here; tests/netns has rules and other addresses."""
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        made = call_for(LOOPBACK, Endpoint(*listener.getsockname()), 5)
    if os.geteuid() == 0:
        assert made == Call(Fate.ARRIVED)
        assert call_for(LOOPBACK, Endpoint(LOOPBACK, free_port()), 5).fate is (
            Fate.REFUSED
        )
        made = call_for(LOOPBACK, Endpoint("255.255.255.255", 9), 5)
    assert made.fate is Fate.UNTRIED
    assert made.why_not
