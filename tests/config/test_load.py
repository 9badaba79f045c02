"""Whole files: every problem, word for word, on its line."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import example, given, strategies as st

from sidecar.config.load import load_config, load_policy, read_config
from sidecar.config.model import (
    AccessLevel,
    Config,
    Drain,
    Endpoint,
    Identity,
    Inbound,
    Limits,
    Listener,
    Log,
    LogLevel,
    MissingCertificate,
    Mode,
    NameKind,
    Outbound,
    OutboundDefault,
    PortSettings,
    ProxyProtocol,
    Route,
    RouteMode,
    Tls,
    UnixSocket,
)
from sidecar.config.problems import ConfigError
from sidecar.identity.spiffe_id import SpiffeIdError, parse_trust_domain
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import (
    PatternError,
    SpiffePattern,
    Unauthenticated,
    parse_pattern,
)

if TYPE_CHECKING:
    from tests.config.conftest import Write

SPIFFE = frozenset({NameKind.SPIFFE})
EVERY_KIND = frozenset(NameKind)
API = SpiffePattern("example.org", ("ns", "shop", "sa", "api"))

WHOLE = """\
identity:
  certificate_chain: /run/sidecar/tls.crt
  private_key: tls.key
  trust_bundles:
    example.org: bundles/ca.crt
    partner.test: /run/sidecar/partner.crt
  accept: [spiffe, dns, subject]
  name_bundle: legacy-ca.crt
  crl: ca.crl
inbound:
  listeners:
    - {listen: "[::]:15006", destination: original, transparent: true}
    - {listen: "0.0.0.0:8443", destination: "127.0.0.1:8080"}
  mode: strict
  ports:
    9090: {mode: permissive}
    8080: {missing_certificate: http-400, proxy_protocol: tls}
outbound:
  listeners:
    - {listen: "127.0.0.1:15001", destination: original}
    - {listen: "127.0.0.1:9000", destination: "api.shop.svc:8443"}
  default: plaintext
  routes:
    - name: api
      to: [10.0.0.0/8, "api.shop.svc", "2001:db8::1"]
      ports: [8080, 8443]
      mode: mtls
      peers: ["spiffe://example.org/ns/shop/sa/api"]
    - {name: rest, to: [0.0.0.0/0], mode: deny}
policy: policy.yaml
admin: {listen: "unix:/run/sidecar/admin.sock"}
telemetry: {listen: "127.0.0.1:15020"}
tls: {minimum_version: 1.2, groups: [X25519]}
limits:
  connections: 5
  handshakes: 6
  connect_seconds: 1
  handshake_seconds: 2.5
  detect_seconds: 3
  idle_seconds: 4
  lifetime_seconds: 3600
drain: {delay_seconds: 7, deadline_seconds: 8}
workers: auto
log: {level: debug, access: failures}
"""

IDENTITY = """\
identity: {certificate_chain: a, private_key: b, trust_bundles: {example.org: c}}
"""
OUTBOUND = """\
outbound: {listeners: [{listen: "127.0.0.1:9000", destination: original}]}
"""
LEAST = IDENTITY + OUTBOUND


def test_every_key_has_its_effect(write: Write) -> None:
    config = load_config(write(WHOLE, "conf/sidecar.yaml"))
    assert config == Config(
        identity=Identity(
            certificate_chain=Path("/run/sidecar/tls.crt"),
            private_key=Path("conf/tls.key"),
            trust_bundles={
                "example.org": Path("conf/bundles/ca.crt"),
                "partner.test": Path("/run/sidecar/partner.crt"),
            },
            accept=EVERY_KIND,
            name_bundle=Path("conf/legacy-ca.crt"),
            crl=Path("conf/ca.crl"),
        ),
        inbound=Inbound(
            listeners=(
                Listener(Endpoint("::", 15006), "original", transparent=True),
                Listener(Endpoint("0.0.0.0", 8443), Endpoint("127.0.0.1", 8080)),
            ),
            mode=Mode.STRICT,
            ports={
                9090: PortSettings(mode=Mode.PERMISSIVE),
                8080: PortSettings(
                    missing_certificate=MissingCertificate.HTTP_400,
                    proxy_protocol=ProxyProtocol.TLS,
                ),
            },
        ),
        outbound=Outbound(
            listeners=(
                Listener(Endpoint("127.0.0.1", 15001), "original"),
                Listener(Endpoint("127.0.0.1", 9000), Endpoint("api.shop.svc", 8443)),
            ),
            default=OutboundDefault.PLAINTEXT,
            routes=(
                Route(
                    name="api",
                    to=(
                        ipaddress.ip_network("10.0.0.0/8"),
                        "api.shop.svc",
                        ipaddress.ip_network("2001:db8::1/128"),
                    ),
                    ports=frozenset({8080, 8443}),
                    mode=RouteMode.MTLS,
                    peers=(API,),
                ),
                Route(
                    name="rest",
                    to=(ipaddress.ip_network("0.0.0.0/0"),),
                    mode=RouteMode.DENY,
                ),
            ),
        ),
        policy=Path("conf/policy.yaml"),
        admin=UnixSocket(Path("/run/sidecar/admin.sock")),
        telemetry=Endpoint("127.0.0.1", 15020),
        tls=Tls(minimum_version="1.2", groups=("X25519",)),
        limits=Limits(5, 6, 1.0, 2.5, 3.0, 4.0, 3600.0),
        drain=Drain(7.0, 8.0),
        workers="auto",
        log=Log(LogLevel.DEBUG, AccessLevel.FAILURES),
    )


def test_what_is_left_out_has_its_default(write: Write) -> None:
    assert load_config(write(LEAST)) == Config(
        identity=Identity(
            certificate_chain=Path("a"),
            private_key=Path("b"),
            trust_bundles={"example.org": Path("c")},
        ),
        outbound=Outbound(
            listeners=(Listener(Endpoint("127.0.0.1", 9000), "original"),)
        ),
    )


def test_a_workload_api_takes_the_place_of_the_files(write: Write) -> None:
    text = "identity: {workload_api: 'unix:///run/agent.sock'}\n" + OUTBOUND
    config = load_config(write(text))
    assert config.identity == Identity(workload_api="unix:///run/agent.sock")


BAD: list[tuple[str, list[str]]] = [
    # Keys and types at the top.
    (
        LEAST + "inbuond: {}",
        ["3: inbuond: unknown key 'inbuond' (did you mean 'inbound'?)"],
    ),
    (LEAST + "8080: {}", ["3: 8080: unknown key 8080"]),
    (LEAST + "inbound: []", ["3: inbound: expected a mapping, got a list"]),
    (
        LEAST + "tls:",
        [
            "3: tls: expected a mapping, got nothing "
            "(leave the key out for its defaults)"
        ],
    ),
    (LEAST + "policy: 5", ["3: policy: expected the path of a file, got 5"]),
    (LEAST + "policy: ''", ["3: policy: expected the path of a file, got ''"]),
    (
        OUTBOUND,
        [" identity: NO_SOURCE"],
    ),
    ("log: {}", [" identity: NO_SOURCE", " inbound.listeners: NO_LISTENER"]),
    (
        LEAST + "log: {}\nlog: {level: info}",
        ["4: log: duplicate key, first on line 3"],
    ),
    # identity
    (
        "identity: {}\n" + OUTBOUND,
        ["1: identity: NO_SOURCE"],
    ),
    (
        "identity:\n  trust_bundles: {example.org: c}\n" + OUTBOUND,
        [
            "1: identity.certificate_chain: missing",
            "1: identity.private_key: missing",
        ],
    ),
    (
        "identity:\n  certificate_chain: a\n  private_key: b\n" + OUTBOUND,
        [
            "1: identity.trust_bundles: expected the bundle of at least one trust "
            "domain, got none (accept has 'spiffe')"
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n  private_key: b\n" + OUTBOUND,
        [
            "2: identity.workload_api: cannot stand beside private_key: "
            "it brings all of them"
        ],
    ),
    (
        "identity: {workload_api: '/run/s'}\n" + OUTBOUND,
        [
            "1: identity.workload_api: expected a socket, as in "
            "'unix:///run/spire/agent.sock', got '/run/s'"
        ],
    ),
    (
        "identity:\n  certificate_chain: a\n  private_key: b\n  trust_bundles:\n"
        "    Example.org: c\n    x.test: [d]\n" + OUTBOUND,
        [
            "5: identity.trust_bundles.Example.org: TRUST_DOMAIN",
            "6: identity.trust_bundles.x.test: expected the path of a file, got a list",
        ],
    ),
    (
        "identity: {certificate_chain: a, private_key: b, trust_bundles: c}\n"
        + OUTBOUND,
        [
            "1: identity.trust_bundles: expected a mapping from trust domains to "
            "files, got 'c'"
        ],
    ),
    (
        "identity:\n  certificate_chain: a\n  private_key: b\n  hint: c\n"
        "  trust_bundles: {example.org: c}\n" + OUTBOUND,
        [
            "4: identity.hint: chooses among the SVIDs of a Workload API, and there "
            "is none (remove it)"
        ],
    ),
    (
        "identity:\n  certificate_chain: a\n  private_key: b\n"
        "  trust_bundles: {example.org: c}\n"
        "  additional:\n    billing: {certificate_chain: d}\n    a b: {}\n" + OUTBOUND,
        [
            "7: identity.additional['a b']: a name must be 1 to 63 of A-Z, a-z, 0-9, "
            "'.', '_', '-', got 'a b'"
        ],
    ),
    (
        "identity:\n  certificate_chain: a\n  private_key: b\n"
        "  trust_bundles: {example.org: c}\n"
        "  additional:\n    billing: {certificate_chain: d, hint: e}\n" + OUTBOUND,
        [
            "6: identity.additional.billing.private_key: missing",
            "6: identity.additional.billing.hint: chooses among the SVIDs of a "
            "Workload API, and there is none (name files)",
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n"
        "  additional:\n    billing: {certificate_chain: d, private_key: e}\n"
        + OUTBOUND,
        [
            "4: identity.additional.billing.hint: missing: it says which SVID is meant",
            "4: identity.additional.billing.certificate_chain: cannot stand beside a "
            "Workload API: it brings all of them",
            "4: identity.additional.billing.private_key: cannot stand beside a "
            "Workload API: it brings all of them",
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n  additional: {billing: {hint: e}}\n"
        "policy: p\ninbound:\n  listeners: [{listen: '[::1]:1', destination: 'a:1'}]\n"
        "  ports: {8081: {identity: biling}}\noutbound:\n  routes:\n"
        "  - {name: a, to: [b], peers: ['spiffe://c/d'], identity: shipping}\n"
        "  - {name: e, to: [f], mode: plaintext, identity: billing}\n",
        [
            "7: inbound.ports.8081.identity: expected a name in identity.additional, "
            "got 'biling' (did you mean 'billing'?)",
            "11: outbound.routes[1].identity: it is shown to nobody in mode "
            "'plaintext' (remove it)",
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n  accept: []\n" + OUTBOUND,
        [
            "3: identity.accept: expected at least one, got an empty list "
            "(name 'spiffe', 'dns' or 'subject')"
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n  accept: [spiffe, dsn]\n" + OUTBOUND,
        [
            "3: identity.accept[1]: expected one of 'spiffe', 'dns', 'subject', "
            "got 'dsn' (did you mean 'dns'?)"
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n  accept: spiffe\n" + OUTBOUND,
        [
            "3: identity.accept: expected a list of kinds of names, got 'spiffe' "
            "(write ['spiffe'])"
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n  accept: [dns, subject]\n" + OUTBOUND,
        [
            "1: identity.name_bundle: missing: accept has 'dns', 'subject', whose "
            "roots stand there"
        ],
    ),
    (
        "identity:\n  workload_api: unix:///s\n  name_bundle: x\n" + OUTBOUND,
        [
            "3: identity.name_bundle: nobody is checked against it: accept has "
            "'spiffe' only (add 'dns' or 'subject', or remove it)"
        ],
    ),
    (
        'identity:\n  private_key: "-----BEGIN PRIVATE KEY-----"\n' + OUTBOUND,
        [
            "2: identity.private_key: expected the path of a file, got PEM text "
            "(write it to a file and name the file here)"
        ],
    ),
    # inbound
    (
        LEAST + "inbound:\n  listeners:\n  - {listen: '[::]:1'}",
        ["5: inbound.listeners[0].destination: missing"],
    ),
    (
        LEAST + "inbound:\n  listeners: {}",
        ["4: inbound.listeners: expected a list of listeners, got a mapping"],
    ),
    (
        LEAST + "inbound:\n  listeners:\n  - 5\n  - {listen: x, to: y}",
        [
            "5: inbound.listeners[0]: expected a mapping, got 5",
            "6: inbound.listeners[1].destination: missing",
            "6: inbound.listeners[1].listen: expected 'host:port', got 'x'",
            "6: inbound.listeners[1].to: unknown key 'to'",
        ],
    ),
    (
        LEAST + "inbound:\n  listeners:\n  - listen: 8080\n    destination: 8081",
        [
            "5: inbound.listeners[0].listen: expected 'host:port', got 8080",
            "6: inbound.listeners[0].destination: expected 'original' or "
            "'host:port', got 8081",
        ],
    ),
    (
        LEAST + "inbound: {mode: srtict}",
        [
            "3: inbound.mode: expected one of 'strict', 'permissive', 'disabled', "
            "got 'srtict' (did you mean 'strict'?)"
        ],
    ),
    (
        LEAST + "inbound: {mode: off}",
        [
            "3: inbound.mode: expected one of 'strict', 'permissive', 'disabled', "
            "got 'off'"
        ],
    ),
    (
        LEAST
        + "inbound:\n  ports:\n    0: {}\n    65536: {}\n    '80': {}\n    80: {}\n"
        "    x: {}",
        [
            "5: inbound.ports.0: expected a whole number from 1 to 65535, got 0",
            "6: inbound.ports.65536: expected a whole number from 1 to 65535, "
            "got 65536",
            "8: inbound.ports.80: duplicate key 80",
            "9: inbound.ports.x: expected a whole number from 1 to 65535, got 'x'",
        ],
    ),
    (
        LEAST + "inbound:\n  ports:\n    true: {}\n    80.5: {}",
        [
            "5: inbound.ports.True: expected a whole number from 1 to 65535, got true",
            "6: inbound.ports[80.5]: expected a whole number from 1 to 65535, got 80.5",
        ],
    ),
    (
        LEAST + "inbound:\n  ports:\n    8080:\n      mode: strct\n      moed: x",
        [
            "6: inbound.ports.8080.mode: expected one of 'strict', 'permissive', "
            "'disabled', got 'strct' (did you mean 'strict'?)",
            "7: inbound.ports.8080.moed: unknown key 'moed' (did you mean 'mode'?)",
        ],
    ),
    (
        LEAST + "inbound:\n  ports:\n    8080: {missing_certificate: http}",
        [
            "5: inbound.ports.8080.missing_certificate: expected one of 'alert', "
            "'http-400', got 'http' (did you mean 'http-400'?)"
        ],
    ),
    (
        LEAST + "inbound:\n  ports:\n    8080: {proxy_protocol: address}",
        [
            "5: inbound.ports.8080.proxy_protocol: expected one of 'none', "
            "'addresses', 'tls', got 'address' (did you mean 'addresses'?)"
        ],
    ),
    (
        LEAST + "inbound: {ports: [8080]}",
        [
            "3: inbound.ports: expected a mapping from ports to their settings, "
            "got a list"
        ],
    ),
    (
        LEAST + "inbound:\n  listeners: [{listen: '[::]:1', destination: original}]",
        [
            " policy: missing: without one nothing is let in (name a file; "
            "'default: audit' in it lets all pass and records what 'deny' would "
            "refuse)"
        ],
    ),
    (
        IDENTITY,
        [" inbound.listeners: NO_LISTENER"],
    ),
    (
        IDENTITY + "inbound: {listeners: []}\noutbound: {listeners: []}",
        ["2: inbound.listeners: NO_LISTENER"],
    ),
    # admin, telemetry
    (
        LEAST + "admin: {}",
        ["3: admin.listen: missing"],
    ),
    (
        LEAST + "admin: 127.0.0.1:1",
        [
            "3: admin: expected a mapping, got '127.0.0.1:1' "
            "(write {listen: '127.0.0.1:1'})"
        ],
    ),
    (
        LEAST + "admin: {listen: 'unix:admin.sock'}",
        [
            "3: admin.listen: expected 'unix:' and an absolute path, "
            "got 'unix:admin.sock'"
        ],
    ),
    (
        LEAST + "telemetry: {listen: 15020}",
        ["3: telemetry.listen: expected 'host:port', got 15020"],
    ),
    (
        LEAST + "telemetry: {listen: 'localhost:15020'}",
        [
            "3: telemetry.listen: expected an IP address to listen on, as in "
            "'0.0.0.0:15020' or '[::]:15020', got the name 'localhost'"
        ],
    ),
    (
        LEAST + "telemetry: {listen: 'unix:/a'}",
        [
            "3: telemetry.listen: expected 'host:port', got 'unix:/a' "
            "(of all addresses only that of admin may be a Unix socket)"
        ],
    ),
    # tls
    (
        LEAST + "tls: {minimum_version: 1.1}",
        ["3: tls.minimum_version: expected '1.2' or '1.3', got 1.1"],
    ),
    (
        LEAST + "tls: {groups: []}",
        [
            "3: tls.groups: expected at least one, got an empty list "
            "(leave the key out for the default)"
        ],
    ),
    (
        LEAST + "tls: {groups: [P-256, 25519, 'P 256', 'é']}",
        [
            "3: tls.groups[1]: expected the name of a TLS group, got 25519",
            "3: tls.groups[2]: expected the name of a TLS group, got 'P 256'",
            "3: tls.groups[3]: expected the name of a TLS group, got 'é'",
        ],
    ),
    # limits, drain
    (
        LEAST + "limits: {connections: 0, handshakes: true}",
        [
            "3: limits.connections: expected a whole number from 1 to 1000000, got 0",
            "3: limits.handshakes: expected a whole number from 1 to 1000000, got true",
        ],
    ),
    (
        LEAST + "limits: {connect_seconds: 0, handshake_seconds: 601}",
        [
            "3: limits.connect_seconds: expected a number of seconds above 0, up to "
            "600, got 0",
            "3: limits.handshake_seconds: expected a number of seconds above 0, up to "
            "600, got 601",
        ],
    ),
    (
        LEAST + "limits: {detect_seconds: 5s, idle_seconds: .inf}",
        [
            "3: limits.detect_seconds: expected a number of seconds above 0, up to "
            "600, got '5s'",
            "3: limits.idle_seconds: expected a number of seconds from 0 to 604800, "
            "got inf",
        ],
    ),
    (
        LEAST + "limits: {idle_seconds: -1, idle: 0}",
        [
            "3: limits.idle_seconds: expected a number of seconds from 0 to 604800, "
            "got -1",
            "3: limits.idle: unknown key 'idle'",
        ],
    ),
    (
        LEAST + "drain: {delay_seconds: .nan, deadline_seconds: 86401}",
        [
            "3: drain.delay_seconds: expected a number of seconds from 0 to 86400, "
            "got nan",
            "3: drain.deadline_seconds: expected a number of seconds from 0 to 86400, "
            "got 86401",
        ],
    ),
    # workers, log
    (
        LEAST + "workers: 0",
        [
            "3: workers: expected a whole number from 1 to 256, got 0 "
            "(or 'auto', one for each CPU)"
        ],
    ),
    (
        LEAST + "log: {level: warn, access: most}",
        [
            "3: log.level: expected one of 'debug', 'info', 'warning', 'error', "
            "got 'warn' (did you mean 'warning'?)",
            "3: log.access: expected one of 'all', 'failures', 'none', got 'most'",
        ],
    ),
]


def trust_domain_error(text: str) -> str:
    with pytest.raises(SpiffeIdError) as caught:
        parse_trust_domain(text)
    return str(caught.value)


WORDS = {
    "NO_LISTENER": "missing: at least one listener is needed, here or in outbound",
    "NO_SOURCE": (
        "names no certificate: certificate_chain, private_key, trust_bundles are "
        "needed (or workload_api, or SPIFFE_ENDPOINT_SOCKET in the environment)"
    ),
    "TRUST_DOMAIN": trust_domain_error("Example.org"),
}


def lines_of(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.source == str(path)
    return [problem.located for problem in caught.value.problems]


@pytest.mark.parametrize(("text", "expected"), BAD)
def test_a_bad_file_gets_these_lines(
    text: str, expected: list[str], write: Write
) -> None:
    for short, words in WORDS.items():
        expected = [line.replace(short, words) for line in expected]
    assert lines_of(write(text)) == [f"sidecar.yaml:{line}" for line in expected]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "sidecar.yaml: the file is empty"),
        (b"a: [", "sidecar.yaml:1: not YAML: "),
        (b"a: \xff", "sidecar.yaml:1: not UTF-8: byte 0xff"),
        (b"#" * (1024 * 1024 + 1), "sidecar.yaml: larger than 1 MiB"),
    ],
)
def test_what_is_no_yaml_is_one_problem(data: bytes, line: str, write: Write) -> None:
    (only,) = lines_of(write(data))
    assert only.startswith(line)


def test_what_is_no_file_is_one_problem(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert lines_of(tmp_path / "none") == [f"{tmp_path}/none: no such file"]
    assert lines_of(tmp_path / "fifo") == [f"{tmp_path}/fifo: not a regular file"]
    assert lines_of(tmp_path) == [f"{tmp_path}: a directory, expected a file"]


def test_what_is_broken_does_not_hide_what_the_rest_says(write: Write) -> None:
    text = (
        IDENTITY
        + """\
inbound: {mode: 5}
outbound:
  listeners: [{listen: "127.0.0.1:15000", destination: original}]
  routes: [{name: a, to: [x], peers: ["spiffe://other.test/a"]}]
"""
    )
    assert lines_of(write(text)) == [
        "sidecar.yaml:2: inbound.mode: expected one of 'strict', 'permissive', "
        "'disabled', got 5",
        "sidecar.yaml:5: outbound.routes[0].peers[0]: no bundle of trust domain "
        "'other.test', got 'spiffe://other.test/a' (name it in "
        "identity.trust_bundles)",
    ]


def test_a_reading_says_what_could_not_be_read(write: Write) -> None:
    reading = read_config(write("identity: 5\nlog: {level: 5}\ntls: {}\n"))
    assert reading.unreadable == {"identity", "log"}
    assert reading.config.identity == Identity()
    assert len(reading.problems) == 3


POLICY = """\
default: audit
rules:
  - name: frontend-calls-api
    action: allow
    peers: ["spiffe://example.org/ns/shop/sa/api", unauthenticated]
    ports: [8080]
    sources: [10.0.0.0/8, "::1"]
    dry_run: true
  - name: legacy
    action: deny
    peers: ["dns:a.example.org", "subject:OU=web"]
"""


def test_every_key_of_the_policy_has_its_effect(write: Write) -> None:
    assert load_policy(write(POLICY, "policy.yaml"), EVERY_KIND) == Policy(
        default=Default.AUDIT,
        rules=(
            Rule(
                name="frontend-calls-api",
                action=Action.ALLOW,
                peers=(API, Unauthenticated()),
                ports=frozenset({8080}),
                sources=(
                    ipaddress.ip_network("10.0.0.0/8"),
                    ipaddress.ip_network("::1/128"),
                ),
                dry_run=True,
            ),
            Rule(
                name="legacy",
                action=Action.DENY,
                peers=(
                    parse_pattern("dns:a.example.org"),
                    parse_pattern("subject:OU=web"),
                ),
            ),
        ),
    )


def test_a_policy_may_have_no_rules_and_no_default(write: Write) -> None:
    assert load_policy(write("rules: []", "p"), SPIFFE) == Policy()
    assert load_policy(write("default: allow", "p"), SPIFFE) == Policy(Default.ALLOW)


RULE = "rules:\n- name: a\n  action: allow\n  peers: ['spiffe://x.test/**']\n"

BAD_POLICY: list[tuple[str, list[str]]] = [
    ("", [" the file is empty"]),
    (
        "default: denny",
        [
            "1: default: expected one of 'deny', 'audit', 'allow', "
            "got 'denny' (did you mean 'deny'?)"
        ],
    ),
    ("rules: {}", ["1: rules: expected a list of rules, got a mapping"]),
    ("rule: []", ["1: rule: unknown key 'rule' (did you mean 'rules'?)"]),
    (
        "rules: [{}]",
        [
            "1: rules[0].name: missing",
            "1: rules[0].action: missing",
            "1: rules[0].peers: missing",
        ],
    ),
    ("rules:\n- allow", ["2: rules[0]: expected a mapping, got 'allow'"]),
    (
        RULE + "  dry-run: true",
        ["5: rules[0].dry-run: unknown key 'dry-run' (did you mean 'dry_run'?)"],
    ),
    (
        RULE + "  dry_run: yes",
        ["5: rules[0].dry_run: expected true or false, got 'yes'"],
    ),
    (
        RULE + "  ports: []",
        [
            "5: rules[0].ports: expected at least one, got an empty list "
            "(leave the key out for every port)"
        ],
    ),
    (
        RULE + "  ports: 8080",
        ["5: rules[0].ports: expected a list of ports, got 8080 (write [8080])"],
    ),
    (
        RULE + "  ports: [0, 80, '81', 8080-8090]",
        [
            "5: rules[0].ports[0]: expected a whole number from 1 to 65535, got 0",
            "5: rules[0].ports[2]: expected a whole number from 1 to 65535, got '81' "
            "(remove the quotes)",
            "5: rules[0].ports[3]: expected a whole number from 1 to 65535, "
            "got '8080-8090'",
        ],
    ),
    (
        RULE + "  sources: []",
        [
            "5: rules[0].sources: expected at least one, got an empty list "
            "(leave the key out for anywhere)"
        ],
    ),
    (
        RULE + "  sources: [10.0.0.1/8, shop.svc, 10]",
        [
            "5: rules[0].sources[0]: has bits set after the prefix, got '10.0.0.1/8' "
            "(the network is '10.0.0.0/8', the one address is '10.0.0.1')",
            "5: rules[0].sources[1]: expected an address or a network, as in "
            "'10.0.0.0/8', got 'shop.svc'",
            "5: rules[0].sources[2]: expected a network, as in '10.0.0.0/8', got 10",
        ],
    ),
    (
        RULE.replace("'spiffe://x.test/**'", ""),
        [
            "4: rules[0].peers: expected at least one, got an empty list "
            "(a rule without peers matches nobody)"
        ],
    ),
    (
        RULE.replace("'spiffe://x.test/**'", "'*', 5"),
        [
            "4: rules[0].peers[0]: PATTERN",
            "4: rules[0].peers[1]: expected a peer, as in "
            "'spiffe://example.org/ns/shop/sa/api', got 5",
        ],
    ),
    (
        RULE.replace("'spiffe://x.test/**'", "'dns:a', 'subject:O=b', unauthenticated"),
        [
            "4: rules[0].peers[0]: identity.accept does not have 'dns', got 'dns:a'",
            "4: rules[0].peers[1]: identity.accept does not have 'subject', "
            "got 'subject:O=b'",
        ],
    ),
    (
        RULE.replace("allow", "permit"),
        ["3: rules[0].action: expected one of 'allow', 'deny', got 'permit'"],
    ),
    (
        RULE.replace("name: a", "name: a b"),
        [
            "2: rules[0].name: a name must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '-', "
            "got 'a b'"
        ],
    ),
    (
        RULE.replace("name: a", "name: 1"),
        ["2: rules[0].name: expected text, got 1 (put it in quotes)"],
    ),
    (
        RULE + RULE.removeprefix("rules:\n") * 2,
        [
            "5: rules[1].name: duplicate name 'a', first at rules[0].name",
            "8: rules[2].name: duplicate name 'a', first at rules[0].name",
        ],
    ),
    (
        RULE + "default: deny\ndefault: allow\n",
        ["6: default: duplicate key, first on line 5"],
    ),
]


def pattern_error(text: str) -> str:
    with pytest.raises(PatternError) as caught:
        parse_pattern(text)
    return str(caught.value)


@pytest.mark.parametrize(("text", "expected"), BAD_POLICY)
def test_a_bad_policy_gets_these_lines(
    text: str, expected: list[str], write: Write
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_policy(write(text, "policy.yaml"), SPIFFE)
    lines = [problem.located for problem in caught.value.problems]
    expected = [line.replace("PATTERN", pattern_error("*")) for line in expected]
    assert lines == [f"policy.yaml:{line}" for line in expected]


def test_a_large_policy_loads_in_one_go(write: Write) -> None:
    rules = [
        f"- {{name: r{i}, action: allow, peers: ['spiffe://x.test/ns/n{i % 50}/*']}}"
        for i in range(2000)
    ]
    text = "\n".join(["rules:", *rules])
    assert len(load_policy(write(text, "policy.yaml"), SPIFFE).rules) == 2000


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["original", "127.0.0.1:80", "[::]:80", "mtls", "spiffe", "auto"])
)
KEYS = st.sampled_from(
    [
        "identity",
        "certificate_chain",
        "private_key",
        "trust_bundles",
        "workload_api",
        "accept",
        "name_bundle",
        "crl",
        "inbound",
        "listeners",
        "listen",
        "destination",
        "mode",
        "ports",
        "outbound",
        "default",
        "routes",
        "name",
        "to",
        "peers",
        "policy",
        "admin",
        "telemetry",
        "tls",
        "minimum_version",
        "groups",
        "limits",
        "connections",
        "drain",
        "delay_seconds",
        "workers",
        "log",
        "level",
        "rules",
        "action",
        "sources",
    ]
)
TREES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | SCALARS, inner, max_size=5)
    ),
    max_leaves=30,
)


def loads_or_refuses(data: bytes, path: Path) -> None:
    path.write_bytes(data)
    with contextlib.suppress(ConfigError):
        assert isinstance(load_config(path), Config)
    with contextlib.suppress(ConfigError):
        assert isinstance(load_policy(path, SPIFFE), Policy)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "any.yaml"


@given(tree=TREES)
def test_any_tree_is_a_configuration_or_its_problems(tree: Any, scratch: Path) -> None:
    loads_or_refuses(yaml.safe_dump(tree, allow_unicode=True).encode(), scratch)


@given(section=st.sampled_from(WHOLE.split()), tree=TREES)
def test_any_value_in_any_place_is_taken_or_refused(
    section: str, tree: Any, scratch: Path
) -> None:
    value = yaml.safe_dump(tree, default_flow_style=True, width=10_000)
    text = value.removesuffix("...\n").strip()
    loads_or_refuses(WHOLE.replace(section, text, 1).encode(), scratch)


@given(data=st.binary())
@example(data=WHOLE.encode())
@example(data=POLICY.encode())
def test_any_bytes_are_a_configuration_or_its_problems(
    data: bytes, scratch: Path
) -> None:
    loads_or_refuses(data, scratch)


@given(at=st.integers(0, len(WHOLE)))
def test_any_prefix_is_a_configuration_or_its_problems(at: int, scratch: Path) -> None:
    loads_or_refuses(WHOLE.encode()[:at], scratch)
