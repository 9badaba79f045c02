from __future__ import annotations

import contextlib
from ipaddress import ip_address
from textwrap import dedent, indent

import pytest
from hypothesis import given, strategies as st

from sidecar.config.model import Endpoint
from sidecar.config.problems import ConfigError
from sidecar.config.yaml_document import parse_document
from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.evaluate import Verdict
from sidecar.policytools.cases import (
    Case,
    RouteCase,
    RouteExpectation,
    Suite,
    SuiteReading,
    suite_of,
)
from sidecar.telemetry.labels import Reason
from tests.policytools.books import CART


def read(text: str) -> SuiteReading:
    return suite_of(parse_document(dedent(text).encode(), "cases.yaml"))


def with_case(lines: str, name: str = "x") -> str:
    return f"cases:\n  - name: {name}\n{indent(dedent(lines), '    ')}"


def case(lines: str) -> Case:
    (found,) = read(with_case(lines)).suite.cases
    assert isinstance(found, Case)
    return found


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        read(text)
    return [each.located for each in raised.value.problems]


def test_a_case_is_a_connection_and_what_becomes_of_it() -> None:
    found = case(f"""\
        peer: {CART}
        port: 8080
        source: 10.0.0.7
        expect: audit
        rule: default
        """)
    peer, source = SpiffeId.parse(CART), ip_address("10.0.0.7")
    assert found == Case("x", peer, 8080, Verdict.AUDIT, source, "default")


def test_a_caller_without_a_certificate_may_fail_in_the_handshake() -> None:
    lines = "peer: unauthenticated\nport: 1\nexpect: deny\nreason: no_certificate"
    expected = Case("x", None, 1, Verdict.DENY, reason=Reason.NO_CERTIFICATE)
    assert case(lines) == expected


def test_a_peer_may_have_several_names() -> None:
    lines = "peer: [dns:a.test, 'subject:OU=web']\nport: 1\nexpect: deny"
    names = CertificateNames(frozenset({"a.test"}), (("OU", "web"),))
    assert case(lines).peer == names


def test_a_case_may_be_of_a_connection_that_the_application_makes() -> None:
    lines = dedent(f"""\
        to: API.test:443
        resolve: {{Api.test: [10.0.0.1, "::1"]}}
        peer: {CART}
        expect: deny
        route: api
        reason: unexpected_peer
        """)
    (found,) = read(with_case(lines)).suite.cases
    assert found == RouteCase(
        "x",
        Endpoint("api.test", 443),
        RouteExpectation.DENY,
        {"api.test": ("10.0.0.1", "::1")},
        SpiffeId.parse(CART),
        "api",
        Reason.UNEXPECTED_PEER,
    )
    (found,) = read(with_case("to: '[::1]:1'\nexpect: mtls")).suite.cases
    assert found == RouteCase("x", Endpoint("::1", 1), RouteExpectation.MTLS)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("to: a.test\nexpect: mtls", "to: expected HOST:PORT, got 'a.test'"),
        ("to: a.test:1\nexpect: allow", "expected one of 'mtls', 'plaintext', 'deny'"),
        ("to: a.test:1\nexpect: mtls\nport: 1", "cases[0].port: unknown key 'port'"),
        ("to: a:1\nexpect: deny\nresolve: {a: []}", "resolve.a: expected at least one"),
        ("to: a:1\nexpect: deny\nresolve: {a: [b]}", "expected an IP address, got 'b'"),
        (
            "to: a:1\nexpect: mtls\npeer: unauthenticated",
            "a server always shows a certificate, got 'unauthenticated'",
        ),
        (
            "to: a:1\nexpect: plaintext\nreason: expired",
            "a handshake that fails is denied, and 'plaintext' is expected",
        ),
    ],
)
def test_what_is_wrong_with_it_is_told_with_its_place(lines: str, said: str) -> None:
    assert any(said in each for each in problems(with_case(lines)))


@pytest.mark.parametrize("key", ["config", "policy", "config_map"])
def test_a_file_names_what_decides(key: str) -> None:
    text = with_case("peer: unauthenticated\nport: 1\nexpect: deny")
    suite = read(f"{text}\n{key}: shop/sidecar\n").suite
    assert str(getattr(suite, key)) == "shop/sidecar"
    assert read(text).suite == Suite(suite.cases)


SOUND = "peer: unauthenticated\nport: 1\nexpect: deny\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cases: []", "cases.yaml:1: cases: expected at least one, got an empty list"),
        ("policy: x", "cases.yaml: cases: missing"),
        (with_case("port: 1\nexpect: deny"), "cases[0].peer: missing"),
        (
            with_case(SOUND.replace("unauthenticated", "spiffe://a.test/**")),
            "cases.yaml:3: cases[0].peer: one workload connects at a time",
        ),
        (
            with_case(SOUND.replace("unauthenticated", "[1]")),
            "peer: expected a peer, as in 'spiffe://example.org/ns/shop/sa/api', got a",
        ),
        (with_case(SOUND.replace("unauthenticated", "[]")), "got a list"),
        (with_case(SOUND + "source: web"), "expected an IP address, got 'web'"),
        (with_case(SOUND + "source: 10.0.0"), "expected an IP address, got '10.0.0'"),
        (with_case(SOUND.replace("deny", "dny")), "(did you mean 'deny'?)"),
        (with_case(SOUND + "resaon: plaintext"), "(did you mean 'reason'?)"),
        (with_case(SOUND, '"a\\nb"'), "expected one line that can be printed"),
        (
            with_case(SOUND + "rule: a\nreason: plaintext"),
            "cases[0].rule: where the handshake fails no rule is asked",
        ),
        (
            with_case(SOUND.replace("deny", "allow") + "reason: plaintext"),
            "reason: a handshake that fails is denied, and 'allow' is expected",
        ),
        (
            with_case(SOUND) + "config: a\npolicy: b\nconfig_map: c\n",
            "config: cannot stand beside policy and config_map: one of them decides",
        ),
        (
            with_case(SOUND) + "\n".join(with_case(SOUND).splitlines()[1:]),
            "cases.yaml:6: cases[1].name: duplicate name 'x', first at cases[0].name",
        ),
        (with_case(SOUND) + "cases: []", "duplicate key"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, said: str) -> None:
    assert any(said in each for each in problems(text))


@pytest.mark.parametrize("text", ["default: deny", "rules: []", "inbound: {}"])
def test_what_decides_is_no_file_of_cases(text: str) -> None:
    (found,) = problems(text)
    assert "expected a file of cases, got what decides them (see --help)" in found


def test_all_problems_come_at_once() -> None:
    assert len(problems(with_case("port: 0\nexpect: x\npeer: 1\nrule: ''"))) == 4


@given(st.binary() | st.text().map(str.encode))
def test_no_bytes_cause_another_error(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        suite_of(parse_document(b"cases: [{name: a, peer: " + data, "x"))
