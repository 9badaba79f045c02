from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.config.check import check
from sidecar.config.problems import ConfigError, Problem
from sidecar.config.report import report_lines
from tests.config.authorities import NOW, pem, write_workload

if TYPE_CHECKING:
    from tests.config.conftest import Write

CONFIG = """\
identity:
  certificate_chain: tls.crt
  private_key: tls.key
  trust_bundles: {example.org: ca.crt, partner.test: ca.crt}
  accept: [spiffe, subject, dns]
  name_bundle: legacy.crt
inbound:
  listeners:
  - {listen: "[::]:15006", destination: original, transparent: true}
  - {listen: "0.0.0.0:8443", destination: "127.0.0.1:8080"}
  ports: {9090: {mode: permissive}, 8080: {missing_certificate: http-400, proxy_protocol: tls},
    8081: {proxy_protocol: addresses}}
outbound:
  listeners:
  - {listen: "127.0.0.1:15001", destination: original}
  - {listen: "127.0.0.1:9000", destination: "api.shop.svc:8443"}
  routes:
  - name: api
    to: [10.0.0.0/8, api.shop.svc]
    ports: [8443, 8080]
    peers: ["spiffe://example.org/ns/shop/sa/api"]
  - {name: rest, to: [0.0.0.0/0], mode: plaintext}
policy: policy.yaml
workers: 2
admin: {listen: "0.0.0.0:15000"}
"""
RULE = "{{name: {0}, action: {1}, peers: ['spiffe://example.org/*'], dry_run: {2}}}"


def report(write: Write, config: str, policy: str = "rules: []") -> list[str]:
    write(policy, "policy.yaml")
    root = write_workload(Path())
    write(pem(root.certificate), "legacy.crt")
    path = write(config)
    return report_lines(str(path), check(path, NOW), NOW)


def test_a_sound_configuration_is_summed_up(write: Write) -> None:
    rules = [("a", "allow", "false"), ("b", "deny", "true"), ("c", "allow", "false")]
    policy = ", ".join(RULE.format(*rule) for rule in rules)
    assert report(write, CONFIG, f"rules: [{policy}]") == [
        "sidecar.yaml: ok",
        "  identity   spiffe://example.org/ns/shop/sa/cart",
        "             expires 2026-01-08 03:04:05 UTC, in 3 days",
        "             trust domains: example.org, partner.test",
        "             peers by dns and subject: 1 root",
        "  inbound    [::]:15006 to where it was going, as the caller, strict",
        "             0.0.0.0:8443 to 127.0.0.1:8080, strict",
        "             port 8080: strict, HTTP 400 without a certificate, PROXY protocol "
        "with addresses and TLS",
        "             port 8081: strict, PROXY protocol with addresses",
        "             port 9090: permissive",
        "  policy     policy.yaml: 3 rules (2 allow, 1 deny, 1 of them dry run), "
        "anything else is refused",
        "  outbound   127.0.0.1:15001 to where it was going",
        "             127.0.0.1:9000 to api.shop.svc:8443",
        "             api: mtls to 10.0.0.0/8, api.shop.svc port 8080, 8443, answered "
        "by spiffe://example.org/ns/shop/sa/api",
        "             rest: plaintext to 0.0.0.0/0",
        "             anything else: deny",
        "  admin      0.0.0.0:15000",
        "  telemetry  0.0.0.0:15020",
        "  note: sidecar.yaml:25: admin.listen: 0.0.0.0:15000 is reachable from other "
        "machines, and whoever reaches it may change state",
    ]


IDENTITY = CONFIG.partition("  accept")[0]
INBOUND = IDENTITY + (
    "inbound: {listeners: [{listen: '[::]:1', destination: original}]}\n"
    "policy: policy.yaml\n"
)
OUTBOUND = IDENTITY + (
    "outbound: {listeners: [{listen: '[::]:1', destination: original}]}\n"
)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ("rules: []", "no rules, everything is refused"),
        ("default: allow", "no rules, everything passes"),
        (
            "default: audit",
            "no rules, everything passes, and is recorded as what would be refused",
        ),
        (
            f"default: allow\nrules: [{RULE.format('a', 'deny', 'false')}]",
            "1 rule (1 deny), anything else passes",
        ),
    ],
)
def test_the_policy_is_said_in_words(policy: str, words: str, write: Write) -> None:
    assert f"  policy     policy.yaml: {words}" in report(write, INBOUND, policy)


def test_what_is_not_there_is_not_spoken_of(write: Write) -> None:
    labels = [line.split()[0] for line in report(write, OUTBOUND)]
    assert "inbound" not in labels
    assert "policy" not in labels
    labels = [line.split()[0] for line in report(write, INBOUND)]
    assert "outbound" not in labels


def test_an_identity_without_a_spiffe_id_is_summed_up_too(write: Write) -> None:
    text = OUTBOUND.replace(
        "trust_bundles: {example.org: ca.crt, partner.test: ca.crt}",
        "name_bundle: legacy.crt\n  accept: [dns]",
    )
    root = write_workload(Path())
    write(pem(root.certificate), "legacy.crt")
    write(pem(root.leaf(dns="cart.test")), "tls.crt")
    path = write(text)
    lines = report_lines("sidecar.yaml", check(path, NOW), NOW)
    assert lines[1:4] == [
        "  identity   dns:cart.test",
        "             expires 2026-01-08 03:04:05 UTC, in 3 days",
        "             peers by dns: 1 root",
    ]


def test_what_is_many_is_cut(write: Write) -> None:
    routes = ", ".join(
        f"{{name: r{i}, to: [{', '.join(f'h{i}-{j}.test' for j in range(25))}], "
        "mode: deny}"
        for i in range(23)
    )
    lines = report(
        write, OUTBOUND.replace("original}]", f"original}}], routes: [{routes}]")
    )
    cut = next(line for line in lines if "r19: deny to" in line)
    assert cut.endswith("h19-19.test, 5 more")
    assert "             and 3 routes more" in lines
    assert not [line for line in lines if "r20" in line]


def test_problems_are_counted_and_listed() -> None:
    problems = (
        Problem("inbound.mode", "missing", 3, "sidecar.yaml"),
        Problem("", "no such file", None, "policy.yaml"),
    )
    error = ConfigError("sidecar.yaml", problems)
    assert report_lines("sidecar.yaml", error, NOW) == [
        "sidecar.yaml: 2 problems",
        "  sidecar.yaml:3: inbound.mode: missing",
        "  policy.yaml: no such file",
    ]
    assert str(error).splitlines() == report_lines("sidecar.yaml", error, NOW)


def test_a_workload_api_is_named_and_not_asked(write: Write) -> None:
    text = (
        "identity: {workload_api: 'unix:///s'}\n" + CONFIG[CONFIG.index("inbound:") :]
    )
    assert (
        report(write, text)[1]
        == "  identity   the SVID of unix:///s, which is not asked now"
    )
    with_hint = text.replace("'unix:///s'", "'unix:///s', hint: internal")
    assert (
        "the SVID with the hint 'internal' of unix:///s" in report(write, with_hint)[1]
    )


def test_what_a_bundle_says_of_itself_is_shown(write: Write) -> None:
    text = CONFIG.replace("partner.test: ca.crt", "partner.test: partner.json")
    assert text != CONFIG
    said = '{"keys": [], "spiffe_sequence": 7, "spiffe_refresh_hint": 300}'
    write(said, "partner.json")
    lines = report(write, text)
    assert lines[3] == (
        "             trust domains: example.org, partner.test "
        "(nothing of it is trusted, sequence 7, refresh hint 300 s)"
    )


def test_additional_identities_are_shown_with_who_has_them(write: Write) -> None:
    more = (
        "  additional: {billing: {certificate_chain: tls.crt, private_key: tls.key}}\n"
    )
    text = CONFIG.replace("inbound:", f"{more}inbound:", 1)
    text = text.replace("9090: {mode", "9090: {identity: billing, mode")
    text = text.replace("ports: [8443, 8080]", "identity: billing")
    lines = [line.strip() for line in report(write, text)]
    assert (
        "and as billing: spiffe://example.org/ns/shop/sa/cart, "
        "expires 2026-01-08 03:04:05 UTC, in 3 days"
    ) in lines
    assert "port 9090: permissive, as billing" in lines
    assert any(line.endswith("sa/api, as billing") for line in lines)


def test_additional_identities_of_a_workload_api_are_known_by_their_hints(
    write: Write,
) -> None:
    source = "{workload_api: 'unix:///s', additional: {billing: {hint: b}}}"
    text = f"identity: {source}\n" + CONFIG[CONFIG.index("inbound:") :]
    assert "and as billing: the SVID with the hint 'b'" in report(write, text)[2]
