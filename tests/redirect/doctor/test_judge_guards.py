from __future__ import annotations

from ipaddress import ip_network

import pytest
from attrs import evolve

from sidecar.config.model import (
    Config,
    Endpoint,
    Identity,
    Inbound,
    Listener,
    Mode,
    Outbound,
    PortSettings,
    Route,
    RouteMode,
)
from sidecar.policy.model import Action, Policy, Rule
from sidecar.redirect.doctor.facts import Intent
from sidecar.redirect.doctor.finding import Finding, Level
from sidecar.redirect.doctor.judge_guards import judge_guards, names_of
from sidecar.redirect.options import parse_options
from tests.redirect.doctor.pods import CONFIG, HEALTHY, V4_ONLY

PORTS = {
    8080: PortSettings(Mode.STRICT),
    8081: PortSettings(Mode.PERMISSIVE),
    8082: PortSettings(Mode.DISABLED),
    8083: PortSettings(),
}
RULES = (
    Rule("shop", Action.ALLOW, (), frozenset({8090})),
    Rule("every", Action.ALLOW, ()),
)
STRICT = evolve(CONFIG, inbound=evolve(CONFIG.inbound, ports=PORTS))
TEN = ip_network("10.0.0.0/8")


def found(
    config: Config = CONFIG, rules: tuple[Rule, ...] = (), **options: str
) -> list[Finding]:
    redirect = parse_options(options, {}).redirect
    intent = Intent(config, Policy(rules=rules))
    return list(judge_guards(evolve(HEALTHY, redirect=redirect, intent=intent)))


def said(level: Level, findings: list[Finding]) -> list[str]:
    return [each.what for each in findings if each.level is level]


def routed(*routes: Route) -> Config:
    return evolve(CONFIG, outbound=evolve(CONFIG.outbound, routes=routes))


def test_without_a_configuration_it_says_so() -> None:
    (finding,) = judge_guards(evolve(HEALTHY, intent=None))
    assert finding.level is Level.UNTESTED
    assert "--config" in finding.remedy


def test_where_nothing_is_excluded_all_is_guarded() -> None:
    route = Route("api", (TEN, "api.shop.svc"), frozenset({80}))
    plain = Route("plain", (TEN,), mode=RouteMode.PLAINTEXT)
    config = evolve(STRICT, outbound=evolve(STRICT.outbound, routes=(route, plain)))
    assert [each.level for each in found(config, RULES)] == [Level.OK]


@pytest.mark.parametrize("port", [8080, 8081, 8083, 8090])
def test_a_port_that_is_guarded_by_name_and_let_in_is_told(port: int) -> None:
    for flag, findings in (
        (
            "--exclude-inbound-ports",
            found(STRICT, RULES, exclude_inbound_ports=str(port)),
        ),
        ("--health-ports", found(STRICT, RULES, health_ports=f"15020,{port}")),
    ):
        (problem,) = said(Level.PROBLEM, findings)
        assert problem.startswith(f"{flag} lets the inbound port {port} by, and ")
        assert said(Level.OK, findings) == []


def test_a_port_that_is_not_included_is_told() -> None:
    findings = found(
        STRICT, RULES, include_inbound_ports="8080-8083", health_ports="1,15020"
    )
    (problem,) = said(Level.PROBLEM, findings)
    assert problem == (
        "--include-inbound-ports lets the inbound port 8090 by, and the policy rule"
        " 'shop' names it"
    )


def test_a_disabled_port_may_be_excluded_and_is_noted() -> None:
    findings = found(STRICT, exclude_inbound_ports="8082,9100")
    assert said(Level.PROBLEM, findings) == []
    assert said(Level.NOTE, findings) == [
        "no mTLS and no policy on the inbound ports 8082, 9100"
    ]


def test_a_port_that_a_route_names_and_that_is_let_out_is_told() -> None:
    config = routed(Route("api", (TEN,), frozenset({80, 443})))
    for flag, findings in (
        ("--exclude-outbound-ports", found(config, exclude_outbound_ports="80")),
        ("--include-outbound-ports", found(config, include_outbound_ports="443")),
    ):
        (problem,) = said(Level.PROBLEM, findings)
        assert problem == (
            f"{flag} lets the outbound port 80 by, and the mtls route 'api' names it"
        )


def test_a_route_of_every_port_is_noted() -> None:
    findings = found(routed(Route("api", (TEN,))), exclude_outbound_ports="53")
    assert said(Level.PROBLEM, findings) == []
    assert said(Level.NOTE, findings) == [
        "the mtls route 'api' has every port, and 53 go past it in plain"
    ]


def test_a_network_that_a_route_names_and_that_is_let_out_is_told() -> None:
    config = routed(Route("api", (TEN,)))
    (problem,) = said(Level.PROBLEM, found(config, exclude_outbound_cidrs="0.0.0.0/0"))
    assert problem.startswith("--exclude-outbound-cidrs 0.0.0.0/0 lets by all of 10.")
    findings = found(config, exclude_outbound_cidrs="10.1.0.0/16,192.168.0.0/16,::/0")
    assert said(Level.PROBLEM, findings) == []
    assert said(Level.NOTE, findings) == [
        "the mtls route 'api' has 10.0.0.0/8, and 10.1.0.0/16 goes past it in plain"
    ]


def test_a_network_that_is_not_included_is_told() -> None:
    config = routed(Route("api", (TEN,)))
    (problem,) = said(
        Level.PROBLEM, found(config, include_outbound_cidrs="10.1.0.0/16,fd00::/8")
    )
    assert problem == (
        "--include-outbound-cidrs does not have all of 10.0.0.0/8, and the mtls route"
        " 'api' names it"
    )
    for cidrs in ("10.0.0.0/7", "fd00::/8"):
        assert said(Level.PROBLEM, found(config, include_outbound_cidrs=cidrs)) == []


def test_a_name_is_judged_by_its_addresses() -> None:
    plain = Route("plain", ("plain.shop.svc",), mode=RouteMode.PLAINTEXT)
    config = routed(Route("api", ("api.shop.svc", "b.shop.svc", TEN)), plain)
    redirect = parse_options({"exclude_outbound_cidrs": "10.96.0.0/12"}, {}).redirect
    facts = evolve(
        HEALTHY,
        redirect=redirect,
        intent=Intent(config, Policy()),
        addresses={"api.shop.svc": ("10.96.0.9", "fd96::9")},
    )
    findings = list(judge_guards(facts))
    assert said(Level.PROBLEM, findings) == [
        "--exclude-outbound-cidrs 10.96.0.0/12 lets by all of api.shop.svc"
        " (10.96.0.9), and the mtls route 'api' names it"
    ]
    assert said(Level.NOTE, findings) == [
        "the mtls route 'api' names b.shop.svc, which could not be looked up",
        "the mtls route 'api' has 10.0.0.0/8, and 10.96.0.0/12 goes past it in plain",
    ]


def test_names_are_looked_up_only_where_that_tells_something() -> None:
    plain = Route("plain", ("plain.shop.svc",), mode=RouteMode.PLAINTEXT)
    config = routed(Route("api", ("api.shop.svc", TEN)), plain)
    narrow = parse_options({"include_outbound_cidrs": "10.0.0.0/8"}, {}).redirect
    assert names_of(config, narrow) == ("api.shop.svc",)
    assert names_of(config, HEALTHY.redirect) == ()


def test_listeners_that_the_rules_do_not_lead_to_are_told() -> None:
    fixed = Listener(Endpoint("127.0.0.1", 15001), Endpoint("api", 80))
    elsewhere = Listener(Endpoint("::", 15007), "original")
    config = Config(Identity(), Inbound((elsewhere,)), Outbound((fixed,)))
    findings = found(config)
    inbound, outbound = said(Level.PROBLEM, findings)
    assert inbound.startswith("the rules lead to the inbound port 15006, and no")
    assert outbound.endswith("has it for ipv4 and ipv6")
    remedies = [each.remedy for each in findings if each.remedy]
    assert remedies == [
        'add {listen: "[::]:15006", destination: original}',
        'add {listen: "127.0.0.1:15001", destination: original}',
    ]


def outbound_at(*hosts: str) -> Config:
    listeners = tuple(Listener(Endpoint(host, 15001), "original") for host in hosts)
    return evolve(CONFIG, outbound=Outbound(listeners))


@pytest.mark.parametrize(
    ("hosts", "lacking"),
    [
        (["127.0.0.1"], "ipv6"),
        (["::1"], "ipv4"),
        (["0.0.0.0"], "ipv6"),
        (["10.0.0.5", "::1"], "ipv4"),
        (["::"], None),
    ],
)
def test_a_listener_for_one_family_alone_is_told(
    hosts: list[str], lacking: str | None
) -> None:
    problems = said(Level.PROBLEM, found(outbound_at(*hosts)))
    assert [each.rpartition(" ")[2] for each in problems] == (
        [] if lacking is None else [lacking]
    )


@pytest.mark.parametrize(
    ("host", "fine"), [("127.0.0.1", False), ("10.0.0.5", True), ("0.0.0.0", True)]
)
def test_the_inbound_listener_is_not_on_loopback(host: str, fine: bool) -> None:
    listen = Listener(Endpoint(host, 15006), "original")
    config = evolve(CONFIG, inbound=Inbound((listen,)))
    facts = evolve(HEALTHY, families=V4_ONLY, intent=Intent(config, Policy()))
    problems = said(Level.PROBLEM, list(judge_guards(facts)))
    assert (problems == []) is fine


def test_a_telemetry_port_that_is_captured_is_told() -> None:
    config = evolve(CONFIG, telemetry=Endpoint("::", 9090))
    (problem,) = said(Level.PROBLEM, found(config))
    assert problem == "--health-ports does not let by the telemetry port 9090"
    assert said(Level.PROBLEM, found(config, health_ports="9090")) == []
    private = evolve(CONFIG, telemetry=Endpoint("::1", 9090))
    assert said(Level.PROBLEM, found(private)) == []


@pytest.mark.parametrize(
    ("mode", "transparent"), [("redirect", False), ("tproxy", True)]
)
def test_rules_and_listener_agree_on_tproxy(mode: str, transparent: bool) -> None:
    def config(*, transparent: bool) -> Config:
        listen = Listener(Endpoint("::", 15006), "original", transparent)
        fixed = Listener(Endpoint("::", 8443), Endpoint("127.0.0.1", 8080))
        return evolve(CONFIG, inbound=Inbound((listen, fixed)))

    assert (
        said(Level.PROBLEM, found(config(transparent=transparent), inbound_mode=mode))
        == []
    )
    (problem,) = said(
        Level.PROBLEM, found(config(transparent=not transparent), inbound_mode=mode)
    )
    assert problem.startswith(f"--inbound-mode is {mode}, and the inbound listener")
