from __future__ import annotations

import os
import socket

import pytest

from sidecar.config.model import Endpoint
from sidecar.redirect.call import (
    Call,
    call,
    family_of,
    listening,
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
        assert made.original is None
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_who_stands_in_accepts_it_and_asks_where_it_was_going() -> None:
    with listening(LOOPBACK, 0) as listener:
        assert listener is not None
        target = Endpoint(*listener.getsockname())
        with socket.create_connection((LOOPBACK, target.port)):  # somebody else's
            made = call(target, 5, accepting=listener)
        assert made.fate is Fate.ARRIVED
        assert made.original is None  # it was not redirected
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


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
