from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from hypothesis import given

from sidecar.config.model import Mode
from sidecar.policy.evaluate import Verdict
from sidecar.policy.model import Action, Policy, Rule
from sidecar.policy.pattern import SpiffePattern, Unauthenticated, parse_pattern
from sidecar.policytools.entry import Call
from sidecar.policytools.inbound import judge
from sidecar.policytools.matrix import (
    EVERYTHING,
    Cell,
    Matrix,
    Size,
    _peers,
    matrix_of,
)
from tests.policy import policies, reference
from tests.policytools.books import CART, CONFIG, FRONTEND, of_files, of_text, of_values

if TYPE_CHECKING:
    from pathlib import Path

INSIDE = ip_address("10.0.0.7")
MONITORING = "spiffe://example.org/ns/monitoring/sa/*"


def cell(matrix: Matrix, peer: str, port: int | None) -> Cell:
    return dict(matrix.rows)[peer][matrix.ports.index(port)]


def test_everybody_named_is_a_row_and_every_port_named_a_column(tmp_path: Path) -> None:
    matrix = matrix_of(of_files(tmp_path))
    assert matrix.ports == (8080, 9090, 9091, None)
    strict = Mode.STRICT
    assert matrix.modes == (strict, Mode.PERMISSIVE, Mode.DISABLED, strict)
    assert [name for name, _ in matrix.rows] == [
        FRONTEND,
        MONITORING,
        CART,
        "spiffe://example.org/ns/batch/**",
        "others of example.org",
        "unauthenticated",
    ]
    assert (matrix.peers_left_out, matrix.ports_left_out) == (0, 0)


def test_a_cell_is_what_becomes_of_a_connection(tmp_path: Path) -> None:
    matrix = matrix_of(of_files(tmp_path))
    allow, deny = Verdict.ALLOW, Verdict.DENY
    named = "frontend-calls-api"
    assert cell(matrix, FRONTEND, 8080) == Cell(allow, named, False, False)
    assert cell(matrix, "unauthenticated", 8080) == Cell(deny, None, False, False)
    assert cell(matrix, "unauthenticated", 9090) == Cell(deny, None, True, False)
    assert cell(matrix, CART, 8080) == Cell(deny, None, False, True)


def test_a_source_settles_what_depends_on_it(tmp_path: Path) -> None:
    matrix = matrix_of(of_files(tmp_path), INSIDE)
    expected = Cell(Verdict.ALLOW, "prometheus", False, False)
    assert cell(matrix, MONITORING, 9090) == expected


def test_elsewhere_is_where_no_rule_is_special() -> None:
    rule = "{name: r%d, action: allow, peers: [unauthenticated], sources: [%s]}"

    def verdict(*networks: str) -> Verdict:
        rules = "\n".join(f"- {rule % pair}" for pair in enumerate(networks))
        found = matrix_of(of_text(f"rules:\n{rules}\n"))
        return cell(found, "unauthenticated", None).verdict

    assert verdict("10.0.0.0/8") is Verdict.DENY
    assert verdict("203.0.113.0/24", "198.51.100.0/24") is Verdict.DENY
    assert verdict("0.0.0.0/0", "'::/0'") is Verdict.ALLOW


def test_a_policy_alone_has_no_modes() -> None:
    assert matrix_of(of_text()).modes == (None,) * 4
    assert matrix_of(of_text("default: allow")).rows == (
        ("unauthenticated", (Cell(Verdict.ALLOW, None, False, False),)),
    )


def test_a_matrix_is_bounded_and_says_what_it_leaves_out() -> None:
    matrix = matrix_of(of_text(), size=Size(2, 1))
    assert (len(matrix.rows), matrix.ports) == (2, (8080, None))
    assert (matrix.peers_left_out, matrix.ports_left_out) == (4, 2)


def test_where_every_port_is_named_there_is_no_other() -> None:
    pattern = parse_pattern(CART)
    rule = Rule("r", Action.ALLOW, (pattern,), frozenset(range(1, 65536)))
    matrix = matrix_of(of_values(Policy(rules=(rule,))), size=Size(1, 2))
    assert (matrix.ports, matrix.ports_left_out) == ((1, 2), 65533)


def test_where_nothing_leads_there_is_no_other(tmp_path: Path) -> None:
    fixed = CONFIG.replace('    - {listen: "[::]:15006", destination: original}\n', "")
    assert matrix_of(of_files(tmp_path, fixed)).ports == (8080, 9090, 9091)


@given(policies.policies())
def test_every_row_stands_for_whoever_its_pattern_matches(policy: Policy) -> None:
    rows = _peers(of_values(policy))
    patterns = {str(each): each for rule in policy.rules for each in rule.peers}
    assert {*patterns} - {*rows} == set()
    for name, pattern in patterns.items():
        assert reference.matches(name, rows[name])
        assert pattern.matches(rows[name])
    domains = {
        each.trust_domain
        for each in patterns.values()
        if isinstance(each, SpiffePattern)
    }
    others = {name for name in rows if name.startswith("others of ")}
    assert others == {f"others of {domain}" for domain in domains}
    assert rows["unauthenticated"] is None
    assert len(rows) == len({*patterns, str(Unauthenticated())}) + len(others)


@given(policies.policies(), policies.sources)
def test_no_cell_says_anything_else_than_the_engine(
    policy: Policy, source: reference.Address
) -> None:
    book = of_values(policy)
    matrix = matrix_of(book, source, EVERYTHING)
    peers = _peers(book)
    for name, cells in matrix.rows:
        for port, found in zip(matrix.ports, cells, strict=True):
            judgement = judge(book, Call(peers[name], port or 65535, source))
            assert found.verdict is judgement.verdict
            assert found.rule == judgement.decision.rule
