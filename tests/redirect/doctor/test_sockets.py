from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given, strategies as st

from sidecar.config.model import Endpoint
from sidecar.redirect.doctor.sockets import (
    Socket,
    arrival,
    is_listener,
    listeners_at,
    owned,
    parse_connections,
    parse_listeners,
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
    assert list(parse_listeners(TCP)) == [
        Socket(at, nobody, 1337, listens=True, waiting=3, inode=5923952)
    ]
    assert list(parse_connections(TCP, CLIENT.port)) == [
        Socket(at, CLIENT, 1337, arriving=True),
        Socket(CLIENT, Endpoint("192.0.2.1", 9), 0, inode=5923953),
    ]


def test_those_who_listen_come_first() -> None:
    lines = TCP.splitlines()
    assert [is_listener(line) for line in lines] == [False, True, False, False]


def test_the_list_of_ipv6_is_read_and_mapped_addresses_are_ipv4() -> None:
    assert [str(each.local) for each in parse_listeners(TCP6)] == ["[::]:15006"]
    ipv4, ipv6 = parse_connections(TCP6, 15001)
    assert str(ipv4.local) == "127.0.0.1:15001"
    assert ipv4.remote == Endpoint("10.77.0.5", 57302)
    assert str(ipv6.local) == "[::1]:15001"
    assert ipv6.remote == Endpoint("fd77::5", 48904)


def test_both_ends_of_a_connection_are_found() -> None:
    server, client = parse_connections(TCP, CLIENT.port)
    # The same source, once, to another destination.
    older = evolve(server, arriving=False, local=Endpoint("10.77.0.5", 8080))
    found = [older, client, server]
    assert arrival(found, CLIENT) == server
    assert owned(found, client.inode) == client
    assert arrival(found, Endpoint("10.77.0.5", 1)) is None
    assert owned(found, 1) is None


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
    sockets = [Socket(Endpoint("127.0.0.1", 15001), CLIENT, uid=1337)]
    assert not listeners_at(sockets, Family.IPV4, 15001, outside=False)


@given(st.text())
def test_any_text_is_read(text: str) -> None:
    list(parse_listeners(text))
    list(parse_connections(text, 15001))


@given(st.integers(0, len(TCP6)))
def test_a_text_that_ends_early_is_read(end: int) -> None:
    assert len(list(parse_connections(TCP6[:end], 15001))) <= 2
