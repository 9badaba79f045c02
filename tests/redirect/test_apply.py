from __future__ import annotations

from itertools import chain

import pytest
from attrs import evolve

from sidecar.redirect.apply import apply, remove
from sidecar.redirect.backend import NoTables, RedirectError, Tables
from sidecar.redirect.model import Backend, Family, InboundMode, Redirect
from sidecar.redirect.render import wanted
from sidecar.redirect.saved import parse_saved
from tests.redirect.kernel import ABSENT, BROKEN, MemoryRoutes, MemoryTables, kernel

FOREIGN = "-A OUTPUT -d 10.9.0.0/16 -p tcp -j DNAT --to-destination 10.8.0.1"
OTHER = evolve(Redirect(), proxy_uid=2000)

Kernel = list[tuple[MemoryTables, MemoryTables]]


def pairs(found: Kernel) -> list[tuple[Tables, Tables]]:
    return [(first, second) for first, second in found]


def put(found: Kernel, redirect: Redirect | None = None, *interfaces: str) -> list[str]:
    return apply(redirect or Redirect(), pairs(found), None, interfaces)


def state(found: Kernel) -> list[str]:
    return [tables.read() for tables in chain(*found) if not tables.unreadable]


def has(tables: MemoryTables, redirect: Redirect) -> bool:
    owned = parse_saved(tables.read()).owned
    return owned.same_as(wanted(redirect, tables.family))


def test_both_families_get_their_rules() -> None:
    found = kernel(Backend.NFT)
    assert put(found) == [
        "ipv4 (nft): 10 rules in place",
        "ipv6 (nft): 10 rules in place",
    ]
    assert all(has(each, Redirect()) for each in found[0])


def test_applying_twice_writes_nothing_the_second_time() -> None:
    found = kernel(Backend.NFT, Backend.LEGACY)
    put(found)
    before = state(found)
    assert put(found)[0] == "ipv4 (nft): nothing to change, 10 rules"
    assert state(found) == before
    assert [each.written for each in chain(*found)] == [1, 1, 0, 0]


def test_other_rules_replace_those_that_were_there() -> None:
    found = kernel(Backend.NFT)
    put(found)
    put(found, OTHER)
    assert all(has(each, OTHER) for each in found[0])


def test_what_is_not_ours_stays_where_it_is() -> None:
    found = kernel(Backend.NFT)
    ipv4 = found[0][0]
    ipv4.chains["OUTPUT"] = [FOREIGN]
    put(found)
    late = FOREIGN.replace("10.9", "10.7")
    ipv4.chains["OUTPUT"].append(late)
    put(found, OTHER)
    assert [FOREIGN, late] == ipv4.chains["OUTPUT"][::2]
    remove(pairs(found))
    assert ipv4.chains == {"OUTPUT": [FOREIGN, late], "PREROUTING": []}


def test_removing_takes_ours_from_every_backend() -> None:
    found = kernel(Backend.NFT, Backend.LEGACY)
    for backend in (Backend.NFT, Backend.LEGACY):
        apply(Redirect(), [pairs(found)[backend is Backend.LEGACY]], backend, ())
    assert len(remove(pairs(found))) == 4
    assert not any(parse_saved(text).owned for text in state(found))
    assert remove(pairs(found)) == ["nothing to remove"]


@pytest.mark.parametrize("before", [None, OTHER], ids=["nothing", "other rules"])
def test_a_second_family_that_fails_leaves_the_first_as_it_was(
    before: Redirect | None,
) -> None:
    found = kernel(Backend.NFT)
    ipv4, ipv6 = found[0]
    if before is not None:
        put(found, before)
    owned = parse_saved(ipv4.read()).owned
    ipv6.refuses = BROKEN
    with pytest.raises(RedirectError, match="exit status 4"):
        put(found)
    assert ipv4.written
    assert parse_saved(ipv4.read()).owned == owned


def test_what_cannot_be_put_back_is_said() -> None:
    found = kernel(Backend.NFT)
    ipv4, ipv6 = found[0]

    class Jammed(MemoryTables):
        def write(self, text: str) -> None:
            ipv4.refuses = RedirectError("iptables-restore: no memory")
            raise BROKEN

    jammed = Jammed(ipv6.backend, ipv6.family)
    with pytest.raises(RedirectError) as failed:
        apply(Redirect(), [(ipv4, jammed)], None, ())
    assert str(failed.value) == (
        f"{BROKEN}; and the rules of ipv4 stay changed: iptables-restore: no memory"
    )


@pytest.mark.parametrize("when", ["reading", "writing"])
def test_without_ipv6_tables_it_goes_on_where_there_is_no_ipv6(when: str) -> None:
    found = kernel(Backend.LEGACY)
    ipv4, ipv6 = found[0]
    ipv6.unreadable = ABSENT if when == "reading" else None
    ipv6.refuses = ABSENT
    said = put(found)
    assert said[1].startswith("ipv6: this kernel has no tables for it")
    assert has(ipv4, Redirect())
    assert put(found)[0] == "ipv4 (legacy): nothing to change, 10 rules"


def test_without_ipv6_tables_an_ipv6_address_is_an_open_door() -> None:
    found = kernel(Backend.LEGACY)
    ipv4, ipv6 = found[0]
    ipv6.refuses = ABSENT
    with pytest.raises(RedirectError, match="IPv6 addresses on eth0, net1, which"):
        put(found, None, "eth0", "net1")
    assert not parse_saved(ipv4.read()).owned


def test_without_ipv4_tables_there_is_no_going_on() -> None:
    found = kernel(Backend.LEGACY)
    found[0][0].refuses = ABSENT
    with pytest.raises(RedirectError, match="does not exist"):
        put(found)


@pytest.mark.parametrize("rules", [FOREIGN, "ours"])
def test_the_backend_that_has_rules_already_is_taken(rules: str) -> None:
    found = kernel(Backend.NFT, Backend.LEGACY)
    if rules == "ours":
        put(found[1:], OTHER)
    else:
        found[1][1].chains["OUTPUT"] = [rules]
    assert put(found)[0] == "ipv4 (legacy): 10 rules in place"


def test_ours_in_another_backend_are_taken_away() -> None:
    found = kernel(Backend.NFT, Backend.LEGACY)
    put(found[1:])
    said = apply(Redirect(), pairs(found), Backend.NFT, ())
    assert said[2:] == [
        "ipv4 (legacy): 10 rules removed",
        "ipv6 (legacy): 10 rules removed",
    ]
    assert not parse_saved(found[1][0].read()).owned


def test_a_backend_that_does_not_work_gives_way_to_the_next() -> None:
    found = kernel(Backend.NFT, Backend.LEGACY)
    found[0][0].refuses = BROKEN
    assert put(found)[0] == "ipv4 (legacy): 10 rules in place"
    found = kernel(Backend.NFT, Backend.LEGACY)
    found[0][0].unreadable = BROKEN
    assert put(found)[0] == "ipv4 (legacy): 10 rules in place"


def test_a_backend_that_was_asked_for_does_not_give_way() -> None:
    found = kernel(Backend.NFT, Backend.LEGACY)
    found[0][0].refuses = BROKEN
    with pytest.raises(RedirectError, match="exit status 4"):
        apply(Redirect(), pairs(found), Backend.NFT, ())
    with pytest.raises(
        RedirectError, match="no iptables programs of the backend plain"
    ):
        apply(Redirect(), pairs(found), Backend.PLAIN, ())


def test_where_nothing_can_be_read_nothing_is_done() -> None:
    found = kernel(Backend.NFT)
    for each in found[0]:
        each.unreadable = BROKEN
    with pytest.raises(RedirectError, match="exit status 4"):
        put(found)
    with pytest.raises(RedirectError, match="exit status 4"):
        remove(pairs(found))
    assert [each.written for each in found[0]] == [0, 0]


def test_families_are_told_apart() -> None:
    assert [each.version for each in Family] == [4, 6]


# --- With TPROXY

TPROXY = Redirect(inbound_mode=InboundMode.TPROXY)


def through(
    found: Kernel, routes: list[MemoryRoutes], redirect: Redirect, *interfaces: str
) -> list[str]:
    return apply(redirect, pairs(found), None, interfaces, routes)


def both() -> list[MemoryRoutes]:
    return [MemoryRoutes(family) for family in Family]


def test_tproxy_has_rules_in_two_tables_and_routing() -> None:
    found, routes = kernel(Backend.NFT), both()
    assert through(found, routes, TPROXY) == [
        "ipv4: the routing of answers in place",
        "ipv6: the routing of answers in place",
        "ipv4 (nft): 16 rules in place",
        "ipv6 (nft): 16 rules in place",
    ]
    assert all(has(each, TPROXY) for each in found[0])
    before = state(found)
    assert through(found, routes, TPROXY) == [
        "ipv4 (nft): nothing to change, 16 rules",
        "ipv6 (nft): nothing to change, 16 rules",
    ]
    assert state(found) == before


def test_one_mode_replaces_the_other_and_removing_leaves_neither() -> None:
    found, routes = kernel(Backend.NFT), both()
    for redirect in (TPROXY, Redirect(), TPROXY):
        through(found, routes, redirect)
        assert all(has(each, redirect) for each in found[0])
        assert all(bool(each.lines) is (redirect is TPROXY) for each in routes)
    assert len(remove(pairs(found), routes)) == 4
    assert not any(parse_saved(text).owned for text in state(found))
    assert not any(each.lines for each in routes)
    assert remove(pairs(found), routes) == ["nothing to remove"]


@pytest.mark.parametrize("before", [None, Redirect(), OTHER])
@pytest.mark.parametrize("family", [0, 1])
@pytest.mark.parametrize("table", ["nat", "mangle"])
def test_a_table_that_fails_leaves_all_of_them_as_they_were(
    before: Redirect | None, family: int, table: str
) -> None:
    found, routes = kernel(Backend.NFT), both()
    if before is not None:
        through(found, routes, before)
    owned = [parse_saved(each.read()).owned for each in found[0]]
    found[0][family].refuses = BROKEN
    found[0][family].jammed = table
    with pytest.raises(RedirectError, match="exit status 4"):
        through(found, routes, TPROXY)
    assert [parse_saved(each.read()).owned for each in found[0]] == owned
    assert not any(each.lines for each in routes)


def test_routing_that_fails_leaves_the_rules_as_they_were() -> None:
    found, routes = kernel(Backend.NFT), both()
    routes[1].refuses = ("rule add",)
    with pytest.raises(RedirectError, match="ip: no rule add"):
        through(found, routes, TPROXY, "eth0")
    assert not any(each.written for each in found[0])
    assert not any(each.lines for each in routes)


def test_where_there_is_no_ipv6_it_needs_no_routing() -> None:
    found, routes = kernel(Backend.NFT), both()
    routes[1].refuses = ("route add",)
    said = through(found, routes, TPROXY)
    assert said[1].startswith("ipv6: no routing of answers (ip: no route add")
    assert has(found[0][0], TPROXY)


def test_what_of_a_table_cannot_be_put_back_is_said() -> None:
    found, routes = kernel(Backend.NFT), both()
    ipv4 = found[0][0]

    class Jammed(MemoryTables):
        def write(self, text: str) -> None:
            if self.written:
                raise BROKEN
            super().write(text)

    jammed = Jammed(ipv4.backend, ipv4.family)
    with pytest.raises(RedirectError, match="the rules of ipv4 stay changed"):
        apply(TPROXY, [(jammed, found[0][1])], None, (), routes)


@pytest.mark.parametrize("writes", range(4))
def test_whoever_loses_patience_leaves_everything_as_it_was(writes: int) -> None:
    """Four tables are written; the signal comes before one of them."""
    found, routes = kernel(Backend.NFT), both()
    budget = [writes]

    class Interrupted(MemoryTables):
        def write(self, text: str) -> None:
            budget[0] -= 1
            if budget[0] == -1:
                raise KeyboardInterrupt
            super().write(text)

    pair = [Interrupted(each.backend, each.family) for each in found[0]]
    with pytest.raises(KeyboardInterrupt):
        apply(TPROXY, [(pair[0], pair[1])], None, (), routes)
    assert not any(parse_saved(each.read()).owned for each in pair)
    assert not any(each.lines for each in routes)


def test_without_ip_what_stays_of_tproxy_is_said() -> None:
    found, routes = kernel(Backend.NFT), both()
    left = "the routing of answers stays, table 133: ip is not on the PATH"
    through(found, routes, TPROXY)
    assert put(found)[-1] == left
    assert left not in put(found)
    through(found, routes, TPROXY)
    assert remove(pairs(found))[-1] == left
    assert remove(pairs(found)) == ["nothing to remove"]
    assert remove(pairs(found), routes)[-1] == "ipv6: the routing of answers removed"


def test_without_tables_of_ipv4_it_says_what_to_load() -> None:
    found = kernel(Backend.LEGACY)
    found[0][0].refuses = NoTables("unable to initialize table 'nat'")
    with pytest.raises(RedirectError, match="'nat': load nf_tables, or ip_tables and"):
        put(found)
