from __future__ import annotations

import contextlib
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect import values
from sidecar.redirect.model import Backend, InboundMode, Ports

if TYPE_CHECKING:
    from collections.abc import Callable

READERS = (
    values.backend,
    values.seconds,
    values.port,
    values.identifier,
    values.port_list,
    values.network_list,
    values.interface_list,
    values.all_or_ports,
    values.all_or_networks,
)


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (values.inbound_mode, "tproxy", InboundMode.TPROXY),
        (values.backend, "auto", None),
        (values.backend, "legacy", Backend.LEGACY),
        (values.seconds, "300", 300),
        (values.port, "65535", 65535),
        (values.identifier, "4294967294", 4294967294),
        (values.port_list, "", ()),
        (values.port_list, "90,80-85,82", (Ports(80, 85), Ports(90, 90))),
        (values.port_list, "80:85, ,80", (Ports(80, 85),)),
        (values.network_list, "10.0.0.1", (ip_network("10.0.0.1/32"),)),
        (values.network_list, "FD00::/8", (ip_network("fd00::/8"),)),
        (values.interface_list, "eth0.1,eth0.1,net-1", ("eth0.1", "net-1")),
        (values.interface_list, "eth0\n", ("eth0",)),
        (values.all_or_ports, "*", None),
        (values.all_or_ports, "1", (Ports(1, 1),)),
        (values.all_or_networks, "*", None),
        (values.all_or_networks, "::/0", (ip_network("::/0"),)),
    ],
)
def test_what_is_well_written_is_read(
    read: Callable[[str], object], text: str, value: object
) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text", "said"),
    [
        (values.inbound_mode, "TPROXY", "one of 'redirect', 'tproxy'"),
        (values.backend, "nftables", "one of 'auto', 'nft', 'legacy', 'plain'"),
        (values.seconds, "301", "a number from 1 to 300, got '301'"),
        (values.seconds, "x", "a number from 1 to 300, got 'x'"),
        (values.port, "0", "a port is a number from 1 to 65535, got '0'"),
        (values.port, "65536", "got '65536'"),
        (values.port, "٨٠", "a port is a number"),
        (values.port, "1_0", "a port is a number"),
        (values.port, "9" * 5000, "..."),
        (values.port_list, "90-80", "a range begins with its lower port, got '90-80'"),
        (values.port_list, "80-", "got '80-'"),
        (values.port_list, "80-90-100", "got '80-90-100'"),
        (values.port_list, "1," * 1000, "a list has at most 1000 items, got 1001"),
        (values.network_list, "10.0.0.1/8", "10.0.0.0/8 is one, got '10.0.0.1/8'"),
        (values.network_list, "10.0.0.0/33", "an address and a length"),
        (values.network_list, "fe80::%eth0/64", "an address and a length"),
        (values.network_list, "::ffff:10.0.0.0/104", "as IPv4: write 10.0.0.0/8, got"),
        (values.network_list, "::ffff:10.0.0.1", "as IPv4: write 10.0.0.1/32, got"),
        (values.network_list, "fe80::% -j X/64", "an address and a length"),
        (values.interface_list, "lo", "lo is never redirected"),
        (values.interface_list, "eth0 -j", "an interface has a name"),
        (values.interface_list, "eth+", "an interface has a name"),
        (values.interface_list, "-j", "an interface has a name"),
        (values.interface_list, "a" * 16, "an interface has a name"),
        (values.identifier, "0", "not root's"),
        (values.identifier, "4294967295", "from 1 to 4294967294"),
        (values.identifier, "root", "not root's"),
        (values.all_or_ports, ",", "nothing is named: write '*' for all"),
        (values.all_or_networks, " ", "nothing is named"),
    ],
)
def test_what_is_not_is_told_why(
    read: Callable[[str], object], text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=r".") as wrong:
        read(text)
    assert said in str(wrong.value)
    assert len(str(wrong.value)) < 200


def test_every_wrong_item_of_a_list_is_named() -> None:
    with pytest.raises(ValueError, match=r".") as wrong:
        values.port_list("0,80,x,9-1")
    assert [each.rpartition("got ")[2] for each in wrong.value.args] == [
        "'0'",
        "'x'",
        "'9-1'",
    ]


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@given(text=st.text(max_size=30))
def test_any_text_is_read_or_refused(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)
