from __future__ import annotations

from pathlib import Path

import pytest

from sidecar.config.address import parse_listen
from sidecar.config.listening import check_listeners, check_loops, is_local
from sidecar.config.model import (
    Config,
    Identity,
    Inbound,
    Listener,
    Outbound,
    UnixSocket,
)
from sidecar.config.place import written
from sidecar.config.section_values import parse_goal


def listeners(texts: list[str]) -> tuple[Listener, ...]:
    """Read listeners written as ``ADDRESS`` or ``ADDRESS > DESTINATION``."""
    pairs = [text.partition(" > ") for text in texts]
    return tuple(
        Listener(parse_listen(listen), parse_goal(goal or "original"))
        for listen, _, goal in pairs
    )


def config(inbound: list[str], outbound: list[str], telemetry: str = "") -> Config:
    return Config(
        Identity(),
        Inbound(listeners(inbound)),
        Outbound(listeners(outbound)),
        telemetry=parse_listen(telemetry or "0.0.0.0:15020"),
    )


@pytest.mark.parametrize(
    ("inbound", "outbound"),
    [
        (["[::]:15006", "0.0.0.0:8443"], ["127.0.0.1:15001", "127.0.0.1:9000"]),
        (["127.0.0.1:1"], ["127.0.0.2:1"]),
        (["0.0.0.0:1"], ["[::1]:1"]),
        (["[::1]:1"], ["[::2]:1"]),
        # The kernel gives each of them another port.
        (["127.0.0.1:0", "127.0.0.1:0"], ["[::]:0"]),
    ],
)
def test_listeners_may_stand_side_by_side(
    inbound: list[str], outbound: list[str]
) -> None:
    assert list(check_listeners(config(inbound, outbound))) == []


IN = "inbound.listeners"
OUT = "outbound.listeners"


@pytest.mark.parametrize(
    ("inbound", "outbound", "lines"),
    [
        (
            ["127.0.0.1:1", "127.0.0.1:1"],
            [],
            [f"{IN}[1].listen: 127.0.0.1:1 is taken by {IN}[0].listen"],
        ),
        (
            ["0.0.0.0:1"],
            ["127.0.0.1:1"],
            [
                f"{OUT}[0].listen: 127.0.0.1:1 overlaps with 0.0.0.0:1, "
                f"taken by {IN}[0].listen"
            ],
        ),
        (
            ["127.0.0.1:1"],
            ["0.0.0.0:1"],
            [
                f"{OUT}[0].listen: 0.0.0.0:1 overlaps with 127.0.0.1:1, "
                f"taken by {IN}[0].listen"
            ],
        ),
        (
            ["[::]:1", "127.0.0.1:1", "[::1]:1", "0.0.0.0:1"],
            [],
            [
                f"{IN}[1].listen: 127.0.0.1:1 overlaps with [::]:1, "
                f"taken by {IN}[0].listen",
                f"{IN}[2].listen: [::1]:1 overlaps with [::]:1, "
                f"taken by {IN}[0].listen",
                f"{IN}[3].listen: 0.0.0.0:1 overlaps with [::]:1, "
                f"taken by {IN}[0].listen",
            ],
        ),
        (
            [],
            ["127.0.0.1:15000", "127.0.0.1:15020"],
            [
                f"admin.listen: 127.0.0.1:15000 is taken by {OUT}[0].listen",
                "telemetry.listen: 0.0.0.0:15020 overlaps with 127.0.0.1:15020, "
                f"taken by {OUT}[1].listen",
            ],
        ),
    ],
)
def test_an_address_is_listened_on_once(
    inbound: list[str], outbound: list[str], lines: list[str]
) -> None:
    found = check_listeners(config(inbound, outbound))
    assert [f"{written(f.place)}: {f.what}" for f in found] == lines


def test_admin_and_telemetry_clash_too() -> None:
    (finding,) = check_listeners(config([], [], "[::]:15000"))
    assert finding.what == (
        "[::]:15000 overlaps with 127.0.0.1:15000, taken by admin.listen"
    )


def test_an_admin_socket_clashes_with_nothing() -> None:
    admin = UnixSocket(Path("/run/admin.sock"))
    assert list(check_listeners(Config(Identity(), admin=admin))) == []


@pytest.mark.parametrize(
    ("inbound", "outbound"),
    [
        (["0.0.0.0:8443 > 127.0.0.1:8080"], ["127.0.0.1:9000 > api.shop.svc:8443"]),
        (["0.0.0.0:8443"], ["127.0.0.1:9000 > 10.0.0.5:8443"]),
        (["127.0.0.1:8443"], ["127.0.0.1:9000 > 127.0.0.2:8443"]),
        (["10.0.0.1:8443"], ["127.0.0.1:9000 > localhost:8443"]),
    ],
)
def test_another_s_address_is_no_loop(inbound: list[str], outbound: list[str]) -> None:
    assert list(check_loops(config(inbound, outbound))) == []


@pytest.mark.parametrize(
    ("inbound", "outbound", "lines"),
    [
        (
            ["127.0.0.1:1 > 127.0.0.1:1"],
            [],
            [f"{IN}[0].destination: 127.0.0.1:1 is where {IN}[0].listen is: BACK"],
        ),
        (
            ["0.0.0.0:8443 > 127.0.0.1:8443"],
            [],
            [f"{IN}[0].destination: 127.0.0.1:8443 is where {IN}[0].listen is: BACK"],
        ),
        (
            ["[::]:8443"],
            ["127.0.0.1:9000 > [::1]:8443", "127.0.0.1:9001 > localhost:8443"],
            [
                f"{OUT}[0].destination: [::1]:8443 is where {IN}[0].listen is: BACK",
                f"{OUT}[1].destination: localhost:8443 is where {IN}[0].listen is: "
                "BACK",
            ],
        ),
        (
            ["127.0.0.1:8443"],
            ["127.0.0.1:9000 > localhost:8443"],
            [f"{OUT}[0].destination: localhost:8443 is where {IN}[0].listen is: BACK"],
        ),
        (
            ["10.0.0.1:8443"],
            ["127.0.0.1:9000 > 10.0.0.1:8443"],
            [f"{OUT}[0].destination: 10.0.0.1:8443 is where {IN}[0].listen is: BACK"],
        ),
        (
            ["0.0.0.0:1 > 127.0.0.1:15000", "0.0.0.0:2 > 127.0.0.1:15020"],
            [],
            [
                f"{IN}[0].destination: 127.0.0.1:15000 is where admin.listen is: BACK",
                f"{IN}[1].destination: 127.0.0.1:15020 is where telemetry.listen is: "
                "BACK",
            ],
        ),
    ],
)
def test_a_destination_that_comes_back_is_a_loop(
    inbound: list[str], outbound: list[str], lines: list[str]
) -> None:
    found = check_loops(config(inbound, outbound))
    lines = [line.replace("BACK", "it would come back here") for line in lines]
    assert [f"{written(f.place)}: {f.what}" for f in found] == lines


def test_only_loopback_is_local() -> None:
    hosts = ("127.0.0.1", "127.9.9.9", "::1", "0.0.0.0", "::", "10.0.0.1")
    assert [is_local(host) for host in hosts] == [True, True, True, False, False, False]
