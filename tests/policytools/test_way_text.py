from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from sidecar.config.model import Config, Endpoint
from sidecar.config.yaml_document import parse_document
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policytools.entry import Call
from sidecar.policytools.outbound import ways_to
from sidecar.policytools.rulebook import Rulebook, rulebook_of
from sidecar.policytools.way_text import way_lines, way_value
from tests.policytools.books import CART

CONFIG = """\
identity:
  certificate_chain: tls.crt
  private_key: tls.key
  trust_bundles: {example.org: ca.crt}
  additional:
    billing: {certificate_chain: b.crt, private_key: b.key}
outbound:
  listeners: [{listen: "[::]:15001", destination: original}]
  default: deny
  routes:
    - {name: api, to: [api.test], ports: [80], mode: mtls, peers: ["spiffe://example.org/api"], identity: billing}
    - {name: old, to: [10.0.0.0/8], mode: plaintext}
    - {name: no, to: [192.0.2.0/24], mode: deny}
"""
API = SpiffeId.parse("spiffe://example.org/api")


def book(text: str = CONFIG) -> tuple[Rulebook, Config]:
    document = parse_document(text.encode(), "sidecar.yaml")
    made = rulebook_of(document, Path())
    assert made.config is not None
    return made, made.config


def told(
    host: str, server: Any = None, text: str = CONFIG, *, every: bool = False
) -> str:
    made, config = book(text)
    call = None if server is None else Call(server, 80)
    (way,) = ways_to(config, Endpoint(host, 80), {}, call)
    return "\n".join(way_lines(made, config, way, server, most=None if every else 10))


def value(host: str, server: Any = None) -> dict[str, Any]:
    made, config = book()
    call = None if server is None else Call(server, 80)
    (way,) = ways_to(config, Endpoint(host, 80), {}, call)
    found = way_value(made, config, way, server)
    assert json.loads(json.dumps(found)) == found
    return found


def test_a_way_is_told_with_route_line_and_whom_it_expects() -> None:
    expected = """\
        mutual TLS by route 'api' (sidecar.yaml:11)
          to        api.test:80
          expects   spiffe://example.org/api
          shows     the identity 'billing'
          SNI       api.test
          server    spiffe://example.org/api is expected
        routes
          sidecar.yaml:11: mtls api: is taken
          sidecar.yaml:12: plaintext old: does not match
              to: 10.0.0.0/8, not api.test
          sidecar.yaml:13: deny no: does not match
              to: 192.0.2.0/24, not api.test"""
    assert told("api.test", API) == dedent(expected)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        ("10.0.0.1", "in plaintext by route 'old' (sidecar.yaml:12)"),
        (
            "192.0.2.1",
            "denied by route 'no' (sidecar.yaml:13): the route 'no' denies 192.0.2.1:80",
        ),
        (
            "203.0.113.1",
            "denied by default: no route leads to 203.0.113.1:80, and the default is "
            "deny",
        ),
    ],
)
def test_the_first_line_says_what_becomes_of_it(host: str, said: str) -> None:
    assert told(host).splitlines()[0] == said


def test_plaintext_may_be_the_default() -> None:
    text = CONFIG.replace("default: deny", "default: plaintext")
    assert told("203.0.113.1", text=text).startswith("in plaintext by default\n")


def test_an_address_has_no_sni_and_the_first_identity_no_name() -> None:
    text = CONFIG.replace("[api.test]", "[203.0.113.9]")
    assert told("203.0.113.9", text=text.replace(", identity: billing", "")).startswith(
        "mutual TLS by route 'api' (sidecar.yaml:11)\n"
        "  to        203.0.113.9:80\n"
        "  expects   spiffe://example.org/api\n"
        "routes\n"
    )


def test_a_server_that_is_refused_is_told_why() -> None:
    text = told("api.test", SpiffeId.parse(CART))
    first = text.splitlines()[0]
    assert "and denied in the handshake (unexpected_peer): spiffe://" in first
    assert f"  server    {CART} is refused\n" in text
    plain = told("10.0.0.1", SpiffeId.parse(CART))
    assert f"  server    {CART} is not checked: nobody is\n" in plain
    assert "  note      this holds if 10.0.0.1 is no address of api.test" in plain


def test_of_many_routes_and_peers_some_are_shown() -> None:
    routes = "".join(
        f"    - {{name: r{n}, to: [198.51.100.{n}], mode: deny}}\n" for n in range(30)
    )
    peers = ", ".join(f'"spiffe://example.org/{n}"' for n in range(14))
    text = CONFIG.replace('"spiffe://example.org/api"', peers) + routes
    assert told("api.test", text=text).endswith("  and 23 more")
    some = told("api.test", text=text)
    assert "  expects   spiffe://example.org/0\n  or        spiffe://exa" in some
    assert "\n  or        4 more\n" in some
    every = told("api.test", text=text, every=True)
    assert every.count("does not match") == 32


def test_without_routes_there_are_none_to_show() -> None:
    text = CONFIG[: CONFIG.index("  routes:")].replace(
        "  additional:\n    billing: {certificate_chain: b.crt, private_key: b.key}\n",
        "",
    )
    assert told("api.test", text=text).splitlines() == [
        "denied by default: no route leads to api.test:80, and the default is deny",
        "  to        api.test:80",
    ]


def test_programs_are_told_the_same() -> None:
    found = value("api.test", SpiffeId.parse(CART))
    routes = found.pop("routes")
    handshake = found.pop("handshake")
    assert found == {
        "direction": "outbound",
        "decided_by": "sidecar.yaml",
        "to": "api.test:80",
        "allowed": False,
        "mode": "mtls",
        "outcome": None,
        "detail": None,
        "route": "api",
        "file": "sidecar.yaml",
        "line": 11,
        "peers": ["spiffe://example.org/api"],
        "identity": "billing",
        "server_name": "api.test",
        "server": CART,
        "notes": [],
    }
    assert handshake["reason"] == "unexpected_peer"
    assert [each["effect"] for each in routes] == ["taken", "misses", "misses"]
    assert routes[1]["misses"] == {"to": "10.0.0.0/8, not api.test"}


def test_programs_are_told_of_a_destination_without_a_route() -> None:
    found = value("203.0.113.1")
    assert (found["mode"], found["outcome"], found["route"]) == (
        "deny",
        "no_route",
        None,
    )
    assert found["detail"].startswith("no route leads to 203.0.113.1:80")
    assert (found["peers"], found["server"], found["handshake"]) == ([], None, None)
