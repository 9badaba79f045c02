from __future__ import annotations

import contextlib
from collections.abc import Callable
from ipaddress import ip_network

import pytest
from hypothesis import given, strategies as st

from sidecar.config.address import (
    AddressError,
    parse_address,
    parse_destination,
    parse_host_name,
    parse_listen,
    parse_network,
    parse_target,
)
from sidecar.config.model import Endpoint

Parser = Callable[[str], object]


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("0.0.0.0:8443", Endpoint("0.0.0.0", 8443)),
        ("[::]:15006", Endpoint("::", 15006)),
        ("[0:0:0:0:0:0:0:1]:80", Endpoint("::1", 80)),
        ("[2001:DB8::A]:65535", Endpoint("2001:db8::a", 65535)),
        ("127.0.0.1:0", Endpoint("127.0.0.1", 0)),
    ],
)
def test_where_to_listen_is_an_address_and_a_port(
    text: str, endpoint: Endpoint
) -> None:
    assert parse_listen(text) == endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:8080", Endpoint("127.0.0.1", 8080)),
        ("[::1]:8080", Endpoint("::1", 8080)),
        ("API.shop.svc:8443", Endpoint("api.shop.svc", 8443)),
        ("my_db:5432", Endpoint("my_db", 5432)),
        ("10-0-0-1.shop.pod:1", Endpoint("10-0-0-1.shop.pod", 1)),
    ],
)
def test_where_to_dial_may_be_a_name(text: str, endpoint: Endpoint) -> None:
    assert parse_destination(text) == endpoint


@pytest.mark.parametrize(
    ("parse", "text", "what"),
    [
        (
            parse_listen,
            "localhost:8080",
            "expected an IP address to listen on, as in '0.0.0.0:8080' or "
            "'[::]:8080', got the name 'localhost'",
        ),
        (
            parse_listen,
            "*:80",
            "expected an IP address to listen on, as in '0.0.0.0:80' or '[::]:80', "
            "got the name '*'",
        ),
        (
            parse_listen,
            ":8080",
            "expected 'host:port', got ':8080' "
            "(every address of this machine is '[::]')",
        ),
        (
            parse_destination,
            ":8080",
            "expected 'host:port', got ':8080' (this machine is '127.0.0.1')",
        ),
        *(
            (
                parse,
                "unix:/run/a.sock",
                "expected 'host:port', got 'unix:/run/a.sock' (of all addresses only "
                "that of admin may be a Unix socket)",
            )
            for parse in (parse_listen, parse_destination)
        ),
        (parse_listen, "8080", "expected 'host:port', got '8080'"),
        (parse_listen, "127.0.0.1", "expected 'host:port', got '127.0.0.1'"),
        (parse_listen, "127.0.0.1:", "expected 'host:port', got '127.0.0.1:'"),
        (parse_listen, ":", "expected 'host:port', got ':'"),
        (parse_listen, "[::1]", "expected 'host:port', got '[::1]'"),
        (
            parse_listen,
            "::1:80",
            "an IPv6 address, and nothing else, stands in brackets, as in "
            "'[::1]:8080', got '::1:80'",
        ),
        (
            parse_listen,
            "[127.0.0.1]:80",
            "an IPv6 address, and nothing else, stands in brackets, as in "
            "'[::1]:8080', got '[127.0.0.1]:80'",
        ),
        (
            parse_listen,
            "127.0.0.1:65536",
            "port must be a number up to 65535, got '65536'",
        ),
        (
            parse_listen,
            "127.0.0.1:http",
            "port must be a number up to 65535, got 'http'",
        ),
        (parse_listen, "127.0.0.1:-1", "port must be a number up to 65535, got '-1'"),
        (parse_listen, "127.0.0.1:080", "port must be a number up to 65535, got '080'"),
        (
            parse_listen,
            "127.0.0.1:\u0668\u0660",
            "port must be a number up to 65535, got '\u0668\u0660'",
        ),
        (parse_listen, "127.0.0.300:80", "expected an IP address, got '127.0.0.300'"),
        (parse_listen, "127.0.0.01:80", "expected an IP address, got '127.0.0.01'"),
        (parse_listen, "2130706433:80", "expected an IP address, got '2130706433'"),
        (parse_listen, "[::g]:80", "expected an IP address, got '::g'"),
        (
            parse_listen,
            "[fe80::1%eth0]:80",
            "an address with a zone is not supported, got 'fe80::1%eth0'",
        ),
        (
            parse_listen,
            "[::ffff:127.0.0.1]:80",
            "write it as '127.0.0.1', got '::ffff:127.0.0.1'",
        ),
        (
            parse_destination,
            "127.0.0.1:0",
            "port must be 1 to 65535 to be dialled, got 0",
        ),
        (
            parse_destination,
            "0.0.0.0:80",
            "expected an address to dial, got '0.0.0.0' "
            "(that is for listening; this machine is '127.0.0.1')",
        ),
        (
            parse_destination,
            "[::]:80",
            "expected an address to dial, got '::' "
            "(that is for listening; this machine is '127.0.0.1')",
        ),
        (
            parse_destination,
            "*.shop.svc:80",
            "a host name has no wildcard, name every host or its network, "
            "got '*.shop.svc'",
        ),
        (
            parse_destination,
            "a b:80",
            "expected an address or a host name, got 'a b'",
        ),
        (
            parse_network,
            "10.0.0.1/8",
            "has bits set after the prefix, got '10.0.0.1/8' "
            "(the network is '10.0.0.0/8', the one address is '10.0.0.1')",
        ),
        (
            parse_network,
            "2001:db8::1/32",
            "has bits set after the prefix, got '2001:db8::1/32' "
            "(the network is '2001:db8::/32', the one address is '2001:db8::1')",
        ),
        (
            parse_network,
            "10.0.0.0/33",
            "prefix length must be a number up to 32, got '10.0.0.0/33'",
        ),
        (
            parse_network,
            "10.0.0.0/255.0.0.0",
            "prefix length must be a number up to 32, got '10.0.0.0/255.0.0.0'",
        ),
        (
            parse_network,
            "10.0.0.0/",
            "prefix length must be a number up to 32, got '10.0.0.0/'",
        ),
        (
            parse_network,
            "::/129",
            "prefix length must be a number up to 128, got '::/129'",
        ),
        (
            parse_network,
            "::ffff:10.0.0.0/104",
            "write it as '10.0.0.0', got '::ffff:10.0.0.0'",
        ),
        (parse_network, "10.0.0/8", "expected an IP address, got '10.0.0'"),
        (
            parse_network,
            "shop.svc",
            "expected an address or a network, as in '10.0.0.0/8', got 'shop.svc'",
        ),
        (
            parse_target,
            "shop.svc/24",
            "expected an address or a network, as in '10.0.0.0/8', got 'shop.svc/24'",
        ),
        (parse_target, "10.0.0.300", "expected an IP address, got '10.0.0.300'"),
        (
            parse_target,
            "https://shop.svc",
            "expected an address, a network or a host name, without a port, "
            "got 'https://shop.svc'",
        ),
        (
            parse_target,
            "shop.svc:443",
            "expected an address, a network or a host name, without a port, "
            "got 'shop.svc:443'",
        ),
        (
            parse_host_name,
            "shop..svc",
            "expected an address or a host name, got 'shop..svc'",
        ),
        (
            parse_host_name,
            "-a.svc",
            "expected an address or a host name, got '-a.svc'",
        ),
        (
            parse_host_name,
            "\u212aube.svc",
            "expected an address or a host name, got '\u212aube.svc'",
        ),
        (
            parse_host_name,
            ".".join(["a" * 60] * 5),
            f"expected an address or a host name, "
            f"got '{('.'.join(['a' * 60] * 5))[:80]}'...",
        ),
    ],
)
def test_a_slip_is_named(parse: Parser, text: str, what: str) -> None:
    with pytest.raises(AddressError) as caught:
        parse(text)
    assert str(caught.value) == what


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("10.0.0.0/8", ip_network("10.0.0.0/8")),
        ("10.0.0.1", ip_network("10.0.0.1/32")),
        ("0.0.0.0/0", ip_network("0.0.0.0/0")),
        ("::/0", ip_network("::/0")),
        ("2001:db8::1", ip_network("2001:db8::1/128")),
        ("API.shop.svc", "api.shop.svc"),
    ],
)
def test_a_target_is_a_network_or_a_name(text: str, target: object) -> None:
    assert parse_target(text) == target


TEXTS = st.text() | st.text(alphabet="0123456789.:/[]%abf*", max_size=30)
PARSERS = (
    parse_listen,
    parse_destination,
    parse_network,
    parse_target,
    parse_address,
    parse_host_name,
)


@given(TEXTS)
def test_any_text_is_taken_or_refused_by_the_one_error(text: str) -> None:
    for parse in PARSERS:
        with contextlib.suppress(AddressError):
            parse(text)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_an_endpoint_reads_back_what_it_prints(address: object, port: int) -> None:
    endpoint = Endpoint(str(address), port)
    try:
        again = parse_listen(str(endpoint))
    except AddressError as error:
        assert "write it as" in str(error)  # noqa: PT017 - the only one refused
    else:
        assert again == endpoint


@given(st.ip_addresses(), st.integers(0, 32))
def test_a_network_reads_back_what_it_prints(address: object, prefix: int) -> None:
    network = ip_network((str(address), prefix), strict=False)
    assert parse_network(str(network)) == network
