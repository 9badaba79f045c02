from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect.doctor.ruleset import parse_ruleset

OURS = "-A OUTPUT -p tcp -m comment --comment sidecar/outbound -j SIDECAR_OUTBOUND"


def nat(*lines: str) -> str:
    return "\n".join(["*nat", ":OUTPUT ACCEPT [0:0]", *lines, "COMMIT", ""])


def taken(*lines: str) -> list[str]:
    return list(parse_ruleset(nat(*lines)).takers("OUTPUT", "SIDECAR_OUTBOUND"))


@pytest.mark.parametrize(
    "rule",
    [
        "-A OUTPUT -j ACCEPT",
        "-A OUTPUT -d 10.9.0.0/16 -p tcp -j DNAT --to-destination 10.8.0.1",
        "-A OUTPUT ! -p udp -j REDIRECT --to-ports 1",
        "-A OUTPUT -j RETURN",
        "-A OUTPUT -d somewhere -j ACCEPT",
        "-A OUTPUT -o eth0 -j ACCEPT",
        "-A OUTPUT -g OTHER",
    ],
)
def test_a_rule_that_may_end_tcp_takes_it(rule: str) -> None:
    assert taken(rule, OURS) == [rule]
    assert taken(OURS, rule) == []


@pytest.mark.parametrize(
    "rule",
    [
        "-A OUTPUT -p udp -j ACCEPT",
        "-A OUTPUT ! -p tcp -j ACCEPT",
        "-A OUTPUT -j LOG",
        "-A OUTPUT",
        "-A OUTPUT -d 127.0.0.11/32 -j ACCEPT",
        "-A OUTPUT -o lo -j ACCEPT",
        "-A OUTPUT -j NOT_THERE",
    ],
)
def test_others_take_nothing(rule: str) -> None:
    assert taken(rule, OURS) == []


def test_what_stays_in_the_pod_is_ours_to_mark() -> None:
    rules = parse_ruleset(
        "*mangle\n-A OUTPUT -o lo -j ACCEPT\n-A OUTPUT -d 127.0.0.1 -j ACCEPT\nCOMMIT\n"
    )
    taken = list(rules.takers("OUTPUT", "SIDECAR_MARKS", "mangle"))
    assert taken == ["-A OUTPUT -o lo -j ACCEPT"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("-j MARK --set-xmark 0x0/0xffffffff", True),
        ("-j MARK --set-xmark 0x1", True),
        ("-p tcp -j MARK --set-xmark 0x8000/0x8000", False),
        ("-p udp -j MARK --set-xmark 0x1", False),
        ("-j CONNMARK --set-xmark 0x5/0xff", True),
        ("-j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", True),
        ("-j CONNMARK --save-mark --nfmask 0xf000 --ctmask 0xf000", False),
        ("-j CONNMARK --save-mark", True),
        ("-j CONNMARK --restore-mark --nfmask 0xfff --ctmask 0xfff", False),
        ("-j MARK --set-xmark rubbish", False),
        ("-j MARK", False),
        ("-j ACCEPT", False),
    ],
)
def test_what_changes_our_marks_is_found(rule: str, expected: bool) -> None:
    text = f"*mangle\n-A SIDECAR_MARKS {rule}\n-A OUTPUT {rule}\nCOMMIT\n"
    found = list(parse_ruleset(text).marking(0xFFF))
    assert found == ([f"-A OUTPUT {rule}"] if expected else [])


def test_a_chain_takes_what_its_rules_take() -> None:
    jump = "-A OUTPUT -j A"
    assert taken(jump, "-A A -j B", "-A B -p tcp -j ACCEPT", OURS) == [jump]
    assert taken(jump, "-A A -j B", "-A B -p tcp -j RETURN", OURS) == []
    assert taken(jump, "-A A -j B", "-A B -j A", OURS) == []


def test_what_is_not_tracked_is_found() -> None:
    lines = [
        "-A OUTPUT -p tcp -j CT --notrack",
        "-A OUTPUT -j NOTRACK",
        "-A OUTPUT -p udp -j NOTRACK",
        "-A OUTPUT -p tcp -j CT --zone 1",
    ]
    text = "\n".join(["*raw", *lines, "COMMIT", nat(OURS)])
    rules = parse_ruleset(text)
    assert list(rules.unfollowed("OUTPUT")) == lines[:2]
    assert rules.of("nat", "OUTPUT") == [OURS]
    assert rules.of("raw", "PREROUTING") == ()


@given(st.lists(st.sampled_from(["*nat", "-A", "-A OUTPUT", "-A X -j 'x", "x", ""])))
def test_broken_lines_raise_nothing(lines: list[str]) -> None:
    rules = parse_ruleset("\n".join(lines))
    assert list(rules.takers("OUTPUT", "X")) == []


@given(st.text(), st.text())
def test_any_text_is_read(text: str, rule: str) -> None:
    rules = parse_ruleset(f"*nat\n-A OUTPUT {rule}\n*raw\n-A OUTPUT {rule}\n{text}")
    list(rules.takers("OUTPUT", "X"))
    list(rules.unfollowed("OUTPUT"))
    list(rules.marking(0xFFF))
