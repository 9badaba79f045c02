from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.config.model import NameKind
from sidecar.config.notes import notes_on_config, notes_on_policy
from sidecar.config.place import Finding, written
from sidecar.config.policy_sections import read_whole_policy
from sidecar.config.sections import read_whole_config
from sidecar.config.yaml_document import parse_document

if TYPE_CHECKING:
    from sidecar.config.document import Section

IDENTITY = """
identity: {certificate_chain: a, private_key: b, trust_bundles: {example.org: c}}
"""
INBOUND = """
inbound: {listeners: [{listen: "[::]:15006", destination: original}]}
policy: policy.yaml
"""
FIXED = """
policy: policy.yaml
inbound:
  listeners:
  - {listen: "[::]:8443", destination: "127.0.0.1:8080"}
  - {listen: "[::]:9443", destination: "127.0.0.1:9090"}
"""
ROUTES = "routes: [{name: a, to: [x.test], mode: deny}]"


def root(text: str) -> Section:
    return parse_document(text.encode(), "s").root


def lines(findings: list[Finding]) -> list[str]:
    return [f"{written(finding.place)}: {finding.what}" for finding in findings]


def on_config(text: str) -> list[str]:
    return lines([*notes_on_config(read_whole_config(root(IDENTITY + text), None))])


@pytest.mark.parametrize(
    "text",
    [
        INBOUND,
        FIXED,
        FIXED + "  ports: {8080: {mode: permissive}}",
        INBOUND + "admin: {listen: 'unix:/run/admin.sock'}",
        INBOUND + "workers: auto",
        INBOUND.replace("original", "original, transparent: true"),
        INBOUND.replace("]}", "], ports: {5: {mode: disabled}}}"),
    ],
)
def test_a_plain_configuration_gets_no_note(text: str) -> None:
    assert on_config(text) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            INBOUND + "admin: {listen: '0.0.0.0:15000'}",
            [
                "admin.listen: 0.0.0.0:15000 is reachable from other machines, and "
                "whoever reaches it may change state"
            ],
        ),
        (
            "inbound: {mode: permissive}",
            ["inbound: no effect: it has no listeners"],
        ),
        (
            "inbound: {ports: {80: {}}}",
            ["inbound: no effect: it has no listeners"],
        ),
        (
            "policy: policy.yaml",
            [
                "policy: no effect: it is asked about inbound connections, and none "
                "come in"
            ],
        ),
        (
            FIXED + "  ports: {8443: {mode: permissive}, 9090: {mode: disabled}}",
            [
                "inbound.ports.8443: no effect: no listener has this destination "
                "port, only 8080, 9090"
            ],
        ),
        (
            FIXED
            + "  ports: {8080: {mode: disabled, proxy_protocol: tls},"
            + " 9090: {mode: permissive, proxy_protocol: tls}}",
            [
                "inbound.ports.8080.proxy_protocol: the same as 'addresses': a port "
                "in mode 'disabled' has no TLS"
            ],
        ),
        (
            "inbound:\n  listeners: [{listen: '127.0.0.1:1', destination: original,"
            " transparent: true}]",
            [
                "inbound.listeners[0].listen: TPROXY is sure to find a listener at "
                "'[::]' only, got '127.0.0.1'"
            ],
        ),
        (
            f"outbound: {{{ROUTES}}}",
            ["outbound: no effect: it has no listeners"],
        ),
        (
            "outbound: {listeners: [{listen: '[::1]:1', destination: 'x.test:1'}]}",
            [
                "outbound.listeners[0].destination: always refused: no route has "
                "x.test:1, and outbound.default is deny"
            ],
        ),
        (
            "outbound:\n  listeners: [{listen: '[::1]:1', destination: original}]\n"
            f"  {ROUTES[:-1]}, {{name: b, to: [x.test], mode: deny}}]",
            [
                "outbound.routes[1]: never taken: routes[0] has all of it and comes "
                "first"
            ],
        ),
    ],
)
def test_what_has_no_effect_or_a_surprising_one_gets_a_note(
    text: str, expected: list[str]
) -> None:
    assert on_config(text) == expected


def test_bundles_that_nobody_is_checked_against_get_a_note() -> None:
    text = IDENTITY.replace("{cert", "{accept: [dns], name_bundle: d, cert")
    config = read_whole_config(root(text + INBOUND), None)
    assert lines([*notes_on_config(config)]) == [
        "identity.trust_bundles: no effect: identity.accept does not have 'spiffe'"
    ]
    assert config.identity.accept == {NameKind.DNS}
    assert config.identity.name_bundle == Path("d")


def on_policy(
    peers: list[str], text: str = INBOUND, identity: str = IDENTITY
) -> list[str]:
    rules = [
        f"- {{name: r{i}, action: allow, peers: [{p}]}}" for i, p in enumerate(peers)
    ]
    policy = read_whole_policy(root("\n".join(["rules:", *rules])), None)
    config = read_whole_config(root(identity + text), None)
    return lines([*notes_on_policy(config, policy)])


KNOWN = "'spiffe://example.org/a'"
UNKNOWN = "'spiffe://other.test/a'"
PERMISSIVE = INBOUND.replace("]}", "], ports: {5: {mode: permissive}}}")


@pytest.mark.parametrize(
    ("peers", "text", "expected"),
    [
        ([KNOWN], INBOUND, []),
        ([f"{KNOWN}, unauthenticated"], PERMISSIVE, []),
        (
            [f"{KNOWN}, {UNKNOWN}"],
            INBOUND,
            [
                "rules[0].peers[1]: matches nobody: trust domain 'other.test' has no "
                "bundle"
            ],
        ),
        (
            [UNKNOWN, KNOWN, UNKNOWN, UNKNOWN, "'spiffe://third.test/*'"],
            INBOUND,
            [
                "rules[0].peers[0]: matches nobody: trust domain 'other.test' has no "
                "bundle (and 2 more, the next at rules[2].peers[0])",
                "rules[4].peers[0]: matches nobody: trust domain 'third.test' has no "
                "bundle",
            ],
        ),
        (
            ["unauthenticated", KNOWN, "unauthenticated"],
            INBOUND,
            [
                "rules[0].peers[0]: matches nobody: every inbound port is strict "
                "(and 1 more, the next at rules[2].peers[0])"
            ],
        ),
    ],
)
def test_a_rule_that_matches_nobody_gets_a_note(
    peers: list[str], text: str, expected: list[str]
) -> None:
    assert on_policy(peers, text) == expected


def test_a_workload_api_may_bring_any_bundle() -> None:
    identity = "identity: {workload_api: 'unix:///s'}"
    assert on_policy([UNKNOWN], identity=identity) == []


def test_an_identity_that_nobody_is_shown_gets_a_note() -> None:
    more = "additional: {b: {hint: x}, c: {hint: y}, d: {hint: z}}"
    source = f"identity: {{workload_api: 'unix:///s', {more}}}\n"
    text = (
        source
        + INBOUND.replace("]}", "], ports: {5: {identity: b}}}")
        + (
            "outbound:\n  listeners: [{listen: '[::]:15001', destination: original}]\n"
            "  routes: [{name: a, to: [x.test], peers: ['spiffe://y/z'], identity: c}]\n"
        )
    )
    notes = [*notes_on_config(read_whole_config(root(text), None))]
    assert lines(notes) == [
        "identity.additional.d: no effect: no port and no route names it"
    ]
    open_port = text.replace("identity: b", "identity: d, mode: disabled")
    notes = [*notes_on_config(read_whole_config(root(open_port), None))]
    assert lines(notes) == [
        "inbound.ports.5.identity: no effect: the port has no TLS",
        "identity.additional.b: no effect: no port and no route names it",
    ]
