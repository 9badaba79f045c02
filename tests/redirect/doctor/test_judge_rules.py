from __future__ import annotations

import pytest
from attrs import evolve

from sidecar.redirect.doctor.facts import Facts, Tables
from sidecar.redirect.doctor.finding import Finding, Level
from sidecar.redirect.doctor.judge_rules import judge_rules
from sidecar.redirect.model import Backend, Family, InboundMode, Ports, Redirect
from tests.redirect.doctor.pods import HEALTHY, saved, tables, with_options, with_rules

COMMIT = "COMMIT\n"
JUMP = "-A OUTPUT -p tcp -m comment --comment sidecar/outbound -j SIDECAR_OUTBOUND\n"
TAKER = "-A OUTPUT -d 10.9.0.0/16 -p tcp -j DNAT --to-destination 10.8.0.1\n"
UID = (
    "-A SIDECAR_OUTBOUND -p tcp -m owner --uid-owner 1337 -m comment --comment"
    " sidecar/proxy-uid -j RETURN\n"
)
LAST = (
    "-A SIDECAR_OUTBOUND -p tcp -m comment --comment sidecar/to-outbound -j REDIRECT"
    " --to-ports 15001\n"
)
EMPTY = tables(Redirect(), empty=True)


def problems(facts: Facts) -> list[Finding]:
    found = list(judge_rules(facts))
    assert all(each.remedy for each in found if each.level is Level.PROBLEM)
    return [each for each in found if each.level is not Level.OK]


def only(facts: Facts) -> str:
    (finding,) = problems(facts)
    assert finding.level is Level.PROBLEM
    return finding.what


def test_the_rules_that_were_asked_for_are_fine() -> None:
    assert [each.what for each in judge_rules(HEALTHY)] == [
        "10 rules, in order (nft)"
    ] * 2


def test_rules_that_nobody_may_read_are_said_not_to_be_looked_at() -> None:
    facts = evolve(HEALTHY, tables=(), tables_unseen="no permission")
    (finding,) = problems(facts)
    assert finding.level is Level.UNTESTED
    assert finding.what == "the rules were not looked at: no permission"


def test_missing_rules_are_told_for_each_family() -> None:
    ipv4, ipv6 = problems(evolve(HEALTHY, tables=EMPTY))
    assert ipv4.what == "there are no rules of ours"
    assert ipv6.what.startswith("IPv6 is open: no rules of ours, and there are")


def test_without_an_address_nothing_is_open() -> None:
    facts = evolve(HEALTHY, tables=EMPTY, families=(Family.IPV4,))
    assert [each.level for each in problems(facts)] == [Level.PROBLEM, Level.NOTE]
    facts = evolve(HEALTHY, tables=EMPTY, families=(Family.IPV6,))
    assert [each.level for each in problems(facts)] == [Level.NOTE, Level.PROBLEM]


def test_without_ipv6_tables_the_node_has_to_do_something() -> None:
    absent = Tables(Backend.NFT, Family.IPV6, None, "no table", absent=True)
    facts = evolve(HEALTHY, tables=(HEALTHY.tables[0], absent))
    (finding,) = problems(facts)
    assert finding.what.startswith("IPv6 is open")
    assert "disable_ipv6" in finding.remedy


def test_tables_that_cannot_be_read_are_said_so() -> None:
    broken = Tables(Backend.LEGACY, Family.IPV4, None, "iptables-save: exit status 4")
    facts = evolve(HEALTHY, tables=(*HEALTHY.tables, broken))
    (finding,) = problems(facts)
    assert (finding.level, finding.family) == (Level.UNTESTED, Family.IPV4)
    assert "legacy tables cannot be read: iptables-save: exit" in finding.what


def test_rules_in_both_backends_are_told() -> None:
    facts = evolve(
        HEALTHY, tables=(*HEALTHY.tables, *tables(Redirect(), Backend.LEGACY))
    )
    assert {each.what for each in problems(facts)} == {
        "both the nft and legacy tables hold rules of ours"
    }


def test_foreign_rules_in_the_other_backend_are_told() -> None:
    other = Tables(Backend.LEGACY, Family.IPV4, f"*nat\n{TAKER}COMMIT\n")
    facts = evolve(HEALTHY, tables=(*HEALTHY.tables, other))
    assert only(facts).startswith(
        "ours are in the nft tables, and the legacy ones hold OUTPUT rules of others: `"
    )


def test_foreign_rules_ahead_of_ours_are_told() -> None:
    assert only(with_rules(HEALTHY, JUMP, TAKER + JUMP)) == (
        f"rules of others come before ours in OUTPUT: `{TAKER.strip()}`"
    )
    assert problems(with_rules(HEALTHY, JUMP, JUMP + TAKER)) == []


def test_what_hides_tcp_from_nat_is_told() -> None:
    raw = "*raw\n-A PREROUTING -p tcp -j CT --notrack\nCOMMIT\n"
    facts = with_rules(HEALTHY, COMMIT, COMMIT + raw)
    assert only(facts).startswith("rules of others hide TCP from connection tracking")


def test_what_hides_tcp_is_told_once_though_two_chains_of_ours_suffer() -> None:
    tproxy = with_options(Redirect(inbound_mode=InboundMode.TPROXY))
    raw = "COMMIT\n*raw\n-A OUTPUT -o lo -j NOTRACK\nCOMMIT\n*mangle"
    assert only(with_rules(tproxy, "COMMIT\n*mangle", raw)).startswith(
        "rules of others hide TCP from connection tracking: `-A OUTPUT -o lo -j NOTRACK`"
    )


def test_a_missing_jump_is_told() -> None:
    facts = with_rules(HEALTHY, JUMP, TAKER)
    assert only(facts) == "nothing in OUTPUT leads to SIDECAR_OUTBOUND"


def test_a_changed_jump_is_told() -> None:
    facts = with_rules(HEALTHY, "-A OUTPUT -p tcp", "-A OUTPUT -d 10.0.0.0/8 -p tcp")
    assert only(facts).startswith("what leads from OUTPUT to SIDECAR_OUTBOUND was ch")


def test_rules_out_of_order_are_told() -> None:
    text = saved(Redirect(), Family.IPV4).replace(UID, "")
    facts = evolve(HEALTHY, tables=(evolve(HEALTHY.tables[0], text=text),))
    facts = with_rules(facts, LAST, LAST + UID)
    found = problems(facts)
    assert found[0].what == "the rules of SIDECAR_OUTBOUND are out of order"


def test_a_missing_rule_is_named() -> None:
    assert only(with_rules(HEALTHY, UID, "")) == (
        "the rules of SIDECAR_OUTBOUND are not those of these options:"
        f" 1 missing: `{UID.strip()}`"
    )


def test_a_rule_too_many_is_named() -> None:
    extra = "-A SIDECAR_OUTBOUND -p tcp -j RETURN\n"
    assert only(with_rules(HEALTHY, LAST, extra + LAST)) == (
        "the rules of SIDECAR_OUTBOUND are not those of these options:"
        f" 1 not expected: `{extra.strip()}`"
    )


def test_a_rule_that_is_there_twice_is_told() -> None:
    assert only(with_rules(HEALTHY, LAST, LAST + LAST)).endswith("some are there twice")


def test_the_rules_of_other_options_are_told_and_not_all_listed() -> None:
    redirect = Redirect(
        exclude_outbound_ports=tuple(Ports(n, n) for n in range(100, 300, 2))
    )
    ipv4, _ = problems(evolve(HEALTHY, redirect=redirect))
    assert "7 missing: `" in ipv4.what
    assert ", and 4 more" in ipv4.what


@pytest.mark.parametrize("chain", ["SIDECAR_INBOUND", "SIDECAR_OUTBOUND"])
def test_a_chain_that_is_gone_is_told(chain: str) -> None:
    lines = saved(Redirect(), Family.IPV4).splitlines()
    text = "\n".join(line for line in lines if chain not in line)
    facts = evolve(HEALTHY, tables=(evolve(HEALTHY.tables[0], text=text),))
    jump, rules, _ = problems(facts)
    assert jump.what.endswith(f"leads to {chain}")
    assert "missing" in rules.what


def test_with_tproxy_the_rules_of_both_tables_are_looked_at() -> None:
    tproxy = Redirect(inbound_mode=InboundMode.TPROXY)
    facts = with_options(tproxy)
    assert [each.what for each in judge_rules(facts)] == [
        "16 rules, in order (nft)"
    ] * 2
    assert only(with_rules(facts, "--ctdir REPLY -m comment", "-m comment")).startswith(
        "the rules of SIDECAR_TPROXY are not those of these options: 1 missing: "
    )
    taker = "-A PREROUTING -p tcp -j ACCEPT\n"
    jump = "-A PREROUTING -p tcp -m comment --comment sidecar/inbound"
    assert only(with_rules(facts, jump, taker + jump)).startswith(
        "rules of others come before ours in PREROUTING: `-A PREROUTING -p tcp -j ACC"
    )


def test_rules_of_another_mode_that_were_left_are_told() -> None:
    tproxy = Redirect(inbound_mode=InboundMode.TPROXY)
    facts = evolve(HEALTHY, tables=tables(tproxy))
    said = " ".join(each.what for each in problems(facts))
    assert "nothing in PREROUTING leads to SIDECAR_INBOUND" in said
    assert "the rules of SIDECAR_TPROXY are not those of these options: 6" in said


@pytest.mark.parametrize(
    ("chain", "mesh"),
    [("ISTIO_OUTPUT", "Istio"), ("PROXY_INIT_OUTPUT", "Linkerd")],
)
def test_the_rules_of_another_mesh_are_called_by_its_name(
    chain: str, mesh: str
) -> None:
    jump = f"-A OUTPUT -j {chain}\n"
    taker = f"-A {chain} -j REDIRECT --to-ports 15001\n"
    (ahead,) = problems(with_rules(HEALTHY, JUMP, jump + JUMP + taker))
    assert ahead.what == f"rules of others come before ours in OUTPUT: `{jump.strip()}`"
    assert ahead.remedy.startswith(f"they are {mesh}'s: take the pod out of that mesh")
    other = Tables(Backend.LEGACY, Family.IPV4, f"*nat\n{jump}{taker}COMMIT\n")
    (beside,) = problems(evolve(HEALTHY, tables=(*HEALTHY.tables, other)))
    assert beside.remedy == ahead.remedy
    (unknown,) = problems(with_rules(HEALTHY, JUMP, TAKER + JUMP))
    assert unknown.remedy.startswith("move them behind ours")


def test_of_tables_that_nobody_could_read_nothing_is_said_to_be_missing() -> None:
    late = [
        Tables(backend, family, None, "not done in 5 seconds")
        for backend in (Backend.NFT, Backend.LEGACY)
        for family in Family
    ]
    found = problems(evolve(HEALTHY, tables=tuple(late)))
    assert {each.level for each in found} == {Level.UNTESTED}
    assert len(found) == 4
