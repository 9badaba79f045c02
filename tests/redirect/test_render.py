from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st

from sidecar.redirect.model import Family, InboundMode, Redirect
from sidecar.redirect.options import OPTIONS, OptionsError, parse_options
from sidecar.redirect.render import NOTHING, Owned, transition, transitions, wanted
from tests.redirect import cases

if TYPE_CHECKING:
    from collections.abc import Callable

OURS = wanted(Redirect(), Family.IPV4)
CHAIN = r"SIDECAR_(INBOUND|OUTBOUND|TPROXY|MARKS)"
LINE = re.compile(
    rf"\*nat|\*mangle|COMMIT|:{CHAIN} - \[0:0\]"
    rf"|-A ({CHAIN}|PREROUTING|OUTPUT)( -d [0-9a-f:./]+)?"
    r"( -[io] [A-Za-z0-9_.@-]+)? -p tcp( -m owner --[ug]id-owner [0-9]+)?"
    r"( -m addrtype ! --(dst|src)-type LOCAL)?( -m conntrack --ctdir REPLY)?"
    r"( -m tcp --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack ! --ctstate NEW)?"
    r"( -m connmark --mark 0x539/0xfff)?"
    r"( -m multiport --dports [0-9:,]+)? -m comment --comment sidecar/[a-z-]+"
    rf" -j (RETURN|DROP|REDIRECT --to-ports [0-9]+|{CHAIN}"
    r"|TPROXY --on-port [0-9]+ --on-ip (0\.0\.0\.0|::) --tproxy-mark 0x0/0x0"
    r"|CONNMARK --set-xmark 0x539/0xfff"
    r"|CONNMARK --restore-mark --nfmask 0xfff --ctmask 0xfff)"
)


@pytest.mark.parametrize("name", cases.OPTIONS)
def test_the_text_is_the_one_agreed_on(
    name: str, golden: Callable[[str, str], None]
) -> None:
    redirect = parse_options(cases.OPTIONS[name], {}).redirect
    text = "".join(
        f"# {family}\n{transition(NOTHING, wanted(redirect, family))}"
        for family in Family
    )
    golden(name, text)
    for line in text.splitlines():
        assert LINE.fullmatch(line) or line.startswith("# ipv")


evil = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [
            "80\n-A OUTPUT -j ACCEPT",
            "80 -j ACCEPT",
            "fe80::%eth0 -j ACCEPT/64",
            "fe80::%\n*filter/64",
            "eth0 -j ACCEPT",
            "eth+",
            "!",
            "10.0.0.0/8 -j ACCEPT",
            "٨٠",
            "1_0",
            "8080",
            "eth0",
            "10.0.0.0/8",
        ]
    ),
)


@given(st.dictionaries(st.sampled_from([each.name for each in OPTIONS]), evil))
def test_no_option_smuggles_in_a_rule(given_options: dict[str, str]) -> None:
    try:
        redirect = parse_options(given_options, {}).redirect
    except OptionsError:
        return
    for family in Family:
        for line in transition(NOTHING, wanted(redirect, family)).splitlines():
            assert LINE.fullmatch(line)


def test_what_is_there_is_replaced_and_the_jumps_are_left_alone() -> None:
    other = Owned({**OURS.chains, "SIDECAR_INBOUND": ()}, OURS.jumps)
    lines = transition(other, OURS).splitlines()
    assert lines[1:3] == [":SIDECAR_INBOUND - [0:0]", ":SIDECAR_OUTBOUND - [0:0]"]
    assert not [line for line in lines if "PREROUTING" in line or line[:2] == "-D"]


def test_a_jump_of_another_form_is_replaced() -> None:
    odd = "-A PREROUTING -i eth0 -j SIDECAR_INBOUND"
    text = transition(Owned(OURS.chains, (odd,)), OURS)
    assert text.count("PREROUTING") == 2
    assert "-D PREROUTING -i eth0 -j SIDECAR_INBOUND\n" in text


def test_removing_empties_the_chains_before_it_drops_them() -> None:
    assert transition(OURS, NOTHING).splitlines() == [
        "*nat",
        ":SIDECAR_INBOUND - [0:0]",
        ":SIDECAR_OUTBOUND - [0:0]",
        *(f"-D {jump[3:]}" for jump in OURS.jumps),
        "-X SIDECAR_INBOUND",
        "-X SIDECAR_OUTBOUND",
        "COMMIT",
    ]


def test_nothing_is_nothing_and_counts_none() -> None:
    assert (bool(NOTHING), NOTHING.count, OURS.count) == (False, 0, 10)
    assert not NOTHING.same_as(OURS)
    assert not OURS.same_as(Owned(OURS.chains, ()))


def test_changing_the_mode_leaves_no_moment_without_rules() -> None:
    tproxy = wanted(Redirect(inbound_mode=InboundMode.TPROXY), Family.IPV4)
    assert [*transitions(OURS, tproxy)] == ["mangle", "nat"]
    assert [*transitions(tproxy, OURS)] == ["nat", "mangle"]
    text = transitions(tproxy, OURS)
    assert "-X SIDECAR_TPROXY\n-X SIDECAR_MARKS\n" in text["mangle"]
