from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

import pytest
import trio
import trio.testing

from sidecar.net.resolve import HostTable

if TYPE_CHECKING:
    from trio.testing import MockClock


class Names(trio.abc.HostnameResolver):
    """A name server under the test's control."""

    def __init__(self) -> None:
        self.known: dict[str, list[str]] = {}
        self.asked: list[str] = []
        self.silent: set[str] = set()
        self.answering = trio.Event()
        self.answering.set()

    async def getaddrinfo(self, host: Any, _port: Any, *_: int) -> list[Any]:
        name = host.decode() if isinstance(host, bytes) else host
        self.asked.append(name)
        if name in self.silent:
            await trio.sleep_forever()
        await self.answering.wait()
        if name not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (
                socket.AF_INET6 if ":" in each else socket.AF_INET,
                socket.SOCK_STREAM,
                6,
                "",
                (each, 0, 0, 0) if ":" in each else (each, 0),
            )
            for each in self.known[name]
        ]

    async def getnameinfo(self, *_: object) -> tuple[str, str]:
        raise AssertionError("nobody asks for names of addresses")


class Changes:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
async def resolver() -> Names:
    made = Names()
    trio.socket.set_custom_hostname_resolver(made)
    return made


@pytest.fixture
def changed() -> Changes:
    return Changes()


# --- look-ups


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "fe80::1%eth0"])
async def test_an_address_is_its_own(
    resolver: Names, changed: Changes, host: str
) -> None:
    table = HostTable([host], changed)
    await table.refresh()
    assert table.addresses(host) == (host,)
    assert table.unresolved() == []
    assert resolver.asked == []


async def test_a_name_has_no_address_until_it_is_resolved(
    resolver: Names, changed: Changes
) -> None:
    resolver.known["api.shop.svc"] = ["192.0.2.1", "2001:db8::1"]
    table = HostTable(["api.shop.svc"], changed)
    assert table.addresses("api.shop.svc") == ()
    assert table.unresolved() == ["api.shop.svc"]
    await table.refresh()
    assert table.addresses("api.shop.svc") == ("192.0.2.1", "2001:db8::1")
    assert table.unresolved() == []
    assert changed.count == 1


async def test_case_makes_no_difference(resolver: Names, changed: Changes) -> None:
    resolver.known["api.shop.svc"] = ["192.0.2.1"]
    table = HostTable(["API.Shop.svc"], changed)
    await table.refresh()
    assert table.addresses("api.SHOP.svc") == ("192.0.2.1",)


async def test_an_address_that_comes_twice_is_kept_once(
    resolver: Names, changed: Changes
) -> None:
    resolver.known["a"] = ["192.0.2.2", "192.0.2.1", "192.0.2.2"]
    table = HostTable(["a"], changed)
    await table.refresh()
    assert table.addresses("a") == ("192.0.2.2", "192.0.2.1")


async def test_localhost_resolves() -> None:
    table = HostTable(["localhost"], lambda: None)
    await table.refresh()
    assert {"127.0.0.1", "::1"} & set(table.addresses("localhost"))


# --- keeping what is known


async def test_a_name_that_fails_keeps_its_last_good_answer(
    resolver: Names, changed: Changes, caplog: pytest.LogCaptureFixture
) -> None:
    resolver.known["a"] = ["192.0.2.1"]
    table = HostTable(["a"], changed)
    await table.refresh()
    del resolver.known["a"]
    await table.refresh()
    assert table.addresses("a") == ("192.0.2.1",)
    assert changed.count == 1
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.__dict__["host"] == "a"
    assert "not known" in record.__dict__["error"]


async def test_one_name_that_fails_does_not_hold_up_another(
    resolver: Names, changed: Changes, autojump_clock: MockClock
) -> None:
    resolver.known["good"] = ["192.0.2.1"]
    resolver.silent.add("silent")
    table = HostTable(["bad", "silent", "good"], changed)
    began = trio.current_time()
    await table.refresh()
    assert table.addresses("good") == ("192.0.2.1",)
    assert table.unresolved() == ["bad", "silent"]
    assert trio.current_time() - began == 5


async def test_a_name_that_goes_on_failing_is_said_once_and_so_is_its_return(
    resolver: Names, changed: Changes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    table = HostTable(["a"], changed)
    await table.refresh()
    await table.refresh()
    assert [each.message for each in caplog.records] == ["a host name did not resolve"]
    resolver.known["a"] = ["192.0.2.1"]
    await table.refresh()
    await table.refresh()
    assert [each.message for each in caplog.records[1:]] == [
        "a host name resolves again"
    ]
    del resolver.known["a"]
    await table.refresh()
    assert len(caplog.records) == 3


async def test_another_reason_is_said_and_a_name_that_came_back_begins_anew(
    resolver: Names,
    changed: Changes,
    caplog: pytest.LogCaptureFixture,
    autojump_clock: MockClock,
) -> None:
    table = HostTable(["a"], changed)
    await table.refresh()
    resolver.silent.add("a")
    await table.refresh()
    table.know([])
    table.know(["a"])
    await table.refresh()
    assert [each.__dict__["error"] for each in caplog.records] == [
        "[Errno -2] Name or service not known",
        *["no answer in 5 seconds"] * 2,
    ]


async def test_a_name_that_cannot_be_one_is_a_name_that_fails(
    changed: Changes, caplog: pytest.LogCaptureFixture
) -> None:
    table = HostTable(["x" * 64 + ".test", "a..b"], changed)
    await table.refresh()
    assert len(table.unresolved()) == 2
    assert len(caplog.records) == 2


async def test_only_another_set_of_addresses_is_a_change(
    resolver: Names, changed: Changes
) -> None:
    resolver.known["a"] = ["192.0.2.1", "192.0.2.2"]
    table = HostTable(["a"], changed)
    await table.refresh()
    resolver.known["a"] = ["192.0.2.2", "192.0.2.1"]  # round robin
    await table.refresh()
    assert changed.count == 1
    assert table.addresses("a") == ("192.0.2.1", "192.0.2.2")
    resolver.known["a"] = ["192.0.2.3"]
    await table.refresh()
    assert changed.count == 2
    assert table.addresses("a") == ("192.0.2.3",)


# --- another configuration


async def test_a_name_that_stays_keeps_its_addresses(
    resolver: Names, changed: Changes
) -> None:
    resolver.known = {"a": ["192.0.2.1"], "b": ["192.0.2.2"], "c": ["192.0.2.3"]}
    table = HostTable(["a", "b"], changed)
    await table.refresh()
    table.know(["b", "c", "192.0.2.9"])
    assert table.addresses("a") == ()  # nobody asks for it any more
    assert table.addresses("b") == ("192.0.2.2",)
    assert table.addresses("c") == ()
    await table.refresh()
    assert table.addresses("c") == ("192.0.2.3",)


async def test_a_name_that_goes_while_it_is_asked_for_is_forgotten(
    resolver: Names, changed: Changes
) -> None:
    resolver.known["a"] = ["192.0.2.1"]
    table = HostTable(["a"], changed)
    resolver.answering = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.refresh)
        await trio.testing.wait_all_tasks_blocked()
        assert resolver.asked == ["a"]
        table.know([])
        resolver.answering.set()
    assert table.unresolved() == []
    assert changed.count == 0


# --- time


async def asked_within(
    table: HostTable, resolver: Names, clock: MockClock, seconds: float
) -> int:
    """Count the questions of so many seconds."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.keep_fresh)
        await trio.sleep(seconds)
        nursery.cancel_scope.cancel()
    assert clock.current_time() > 0
    return len(resolver.asked)


async def test_a_name_is_asked_for_again_every_15_seconds(
    resolver: Names, changed: Changes, autojump_clock: MockClock
) -> None:
    resolver.known["a"] = ["192.0.2.1"]
    table = HostTable(["a"], changed)
    assert await asked_within(table, resolver, autojump_clock, 59) == 4


async def test_a_name_without_an_answer_is_asked_for_every_2_seconds(
    resolver: Names, changed: Changes, autojump_clock: MockClock
) -> None:
    table = HostTable(["a"], changed)
    assert await asked_within(table, resolver, autojump_clock, 9) == 5


async def test_a_new_address_is_found_in_time(
    resolver: Names, changed: Changes, autojump_clock: MockClock
) -> None:
    resolver.known["a"] = ["192.0.2.1"]
    table = HostTable(["a"], changed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.keep_fresh)
        await trio.sleep(1)
        resolver.known["a"] = ["192.0.2.2"]
        await trio.sleep(15)
        assert table.addresses("a") == ("192.0.2.2",)
        nursery.cancel_scope.cancel()


async def test_without_names_nobody_is_asked(
    resolver: Names, changed: Changes, autojump_clock: MockClock
) -> None:
    table = HostTable(["192.0.2.1"], changed)
    assert await asked_within(table, resolver, autojump_clock, 60) == 0


async def test_a_name_that_is_new_does_not_wait_for_the_others(
    resolver: Names, changed: Changes, autojump_clock: MockClock
) -> None:
    resolver.known.update({"old.svc": ["192.0.2.1"], "new.svc": ["192.0.2.2"]})
    table = HostTable(["old.svc"], changed)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(table.keep_fresh)
        await trio.sleep(1)
        table.know(["old.svc", "new.svc"])
        await trio.sleep(0.1)
        assert table.addresses("new.svc") == ("192.0.2.2",)
        nursery.cancel_scope.cancel()
