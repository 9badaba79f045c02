from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.config.model import Endpoint
from sidecar.redirect.doctor.sockets import (
    Socket,
    arrival,
    listeners_at,
    origin,
    parse_sockets,
)
from sidecar.redirect.model import Family
from tests.redirect.doctor.pods import listener

# As a kernel of a little-endian machine wrote them; 6.18.
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode                                                     
   0: 0100007F:3A99 00000000:0000 0A 00000000:00000003 00:00000000 00000000  1337        0 5923952 2 0000000094234cef 100 0 0 10 0                   
   1: 0100007F:3A99 05004D0A:BAFE 03 00000000:00000000 01:00000064 00000000  1337        0 0 0 00000000d8c0a95b                                      
   2: 05004D0A:BAFE 010200C0:0009 01 00000000:00000000 00:00000000 00000000     0        0 5923953 3 00000000b21c70bf 20 4 32 10 -1                  
"""  # noqa: W291
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:3A9E 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5924187 2 00000000efdd8dc9 100 0 0 10 0
   1: 0000000000000000FFFF00000100007F:3A99 0000000000000000FFFF000005004D0A:DFD6 03 00000000:00000000 01:00000064 00000000     0        0 0 0 00000000d8c0a95b
   2: 00000000000000000000000001000000:3A99 000077FD000000000000000005000000:BF08 03 00000000:00000000 01:00000064 00000000     0        0 0 0 0000000019176449
"""
CLIENT = Endpoint("10.77.0.5", 0xBAFE)


def test_the_list_of_ipv4_is_read() -> None:
    nobody = Endpoint("0.0.0.0", 0)
    at = Endpoint("127.0.0.1", 15001)
    assert list(parse_sockets(TCP)) == [
        Socket(at, nobody, listens=True, uid=1337, waiting=3),
        Socket(at, CLIENT, listens=False, uid=1337),
        Socket(CLIENT, Endpoint("192.0.2.1", 9), listens=False, uid=0),
    ]


def test_the_list_of_ipv6_is_read_and_mapped_addresses_are_ipv4() -> None:
    found = list(parse_sockets(TCP6))
    assert [str(each.local) for each in found] == [
        "[::]:15006",
        "127.0.0.1:15001",
        "[::1]:15001",
    ]
    assert found[1].remote == Endpoint("10.77.0.5", 57302)
    assert found[2].remote == Endpoint("fd77::5", 48904)


def test_both_ends_of_a_connection_are_found() -> None:
    sockets = list(parse_sockets(TCP))
    assert arrival(sockets, CLIENT) == sockets[1]
    assert origin(sockets, CLIENT) == sockets[2]
    other = Endpoint("10.77.0.5", 1)
    assert arrival(sockets, other) is origin(sockets, other) is None


@pytest.mark.parametrize(
    ("host", "family", "outside", "found"),
    [
        ("127.0.0.1", Family.IPV4, False, True),
        ("127.0.0.1", Family.IPV4, True, False),
        ("127.0.0.2", Family.IPV4, False, False),
        ("127.0.0.1", Family.IPV6, False, False),
        ("0.0.0.0", Family.IPV4, False, True),
        ("0.0.0.0", Family.IPV4, True, True),
        ("0.0.0.0", Family.IPV6, True, False),
        ("::", Family.IPV4, True, True),
        ("::", Family.IPV6, False, True),
        ("::1", Family.IPV6, False, True),
        ("::1", Family.IPV6, True, False),
        ("10.0.0.5", Family.IPV4, True, True),
        ("10.0.0.5", Family.IPV4, False, False),
    ],
)
def test_who_listens_where_the_rules_lead_to(
    host: str, family: Family, outside: bool, found: bool
) -> None:
    sockets = [listener(host, 15001)]
    assert bool(listeners_at(sockets, family, 15001, outside=outside)) is found
    assert not listeners_at(sockets, family, 15002, outside=outside)


def test_who_does_not_listen_is_none() -> None:
    at = Endpoint("127.0.0.1", 15001)
    sockets = [Socket(at, CLIENT, listens=False, uid=1337)]
    assert not listeners_at(sockets, Family.IPV4, 15001, outside=False)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    list(parse_sockets(text))


@given(st.integers(0, len(TCP6)))
def test_a_text_that_ends_early_is_read(end: int) -> None:
    assert len(list(parse_sockets(TCP6[:end]))) <= 3
