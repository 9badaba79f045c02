from __future__ import annotations

from typing import Any

import pytest
from attrs import fields

from sidecar.config.model import Config, Endpoint, RouteMode
from sidecar.config.place import Finding, Invalid
from sidecar.config.sections import SECTIONS, read_whole_config
from sidecar.config.yaml_document import parse_document

LEAST = """
identity: {certificate_chain: a, private_key: b, trust_bundles: {example.org: c}}
"""


def read(text: str) -> Config:
    return read_whole_config(parse_document((LEAST + text).encode(), "s").root, None)


def test_every_section_has_a_reader_and_every_reader_a_section() -> None:
    assert list(SECTIONS) == [attribute.name for attribute in fields(Config)]


@pytest.mark.parametrize("name", sorted(SECTIONS.keys() - {"policy", "workers"}))
def test_no_section_takes_a_key_that_it_does_not_have(name: str) -> None:
    section = parse_document(b"nonsense: 1", "s").root
    with pytest.raises(Invalid) as caught:
        SECTIONS[name](section, None)
    unknown = Finding(("nonsense",), "unknown key 'nonsense'")
    assert unknown in caught.value.findings


@pytest.mark.parametrize(
    "name", ["inbound", "outbound", "tls", "limits", "drain", "log"]
)
def test_a_section_without_keys_has_its_defaults(name: str) -> None:
    assert getattr(read(f"{name}: {{}}"), name) == getattr(read(""), name)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("tls: {minimum_version: '1.2'}", "1.2"),
        ("tls: {minimum_version: 1.2}", "1.2"),
        ("tls: {minimum_version: 1.3}", "1.3"),
    ],
)
def test_a_version_may_do_without_quotes(text: str, value: str) -> None:
    assert read(text).tls.minimum_version == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("limits: {connect_seconds: 3}", 3.0), ("limits: {connect_seconds: 0.5}", 0.5)],
)
def test_seconds_are_floats(text: str, seconds: float) -> None:
    taken = read(text).limits.connect_seconds
    assert (taken, type(taken)) == (seconds, float)


def test_the_kernel_may_choose_where_to_listen() -> None:
    assert read("telemetry: {listen: '127.0.0.1:0'}").telemetry == Endpoint(
        "127.0.0.1", 0
    )


def test_a_route_is_mtls_unless_it_says_otherwise() -> None:
    text = """
outbound:
  routes: [{name: a, to: [x.test], peers: ["spiffe://example.org/ns/a"]}]
"""
    (route,) = read(text).outbound.routes
    assert route.mode is RouteMode.MTLS
    assert route.ports is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "{name: a, to: [], mode: deny}",
            (
                "to",
                "expected at least one, got an empty list "
                "(a route to nowhere is never taken)",
            ),
        ),
        (
            "{name: a, to: x.test, mode: deny}",
            (
                "to",
                "expected a list of addresses, networks and host names, "
                "got 'x.test' (write ['x.test'])",
            ),
        ),
        (
            "{name: a, to: [x.test], mode: deny, ports: []}",
            (
                "ports",
                "expected at least one, got an empty list "
                "(leave the key out for every port)",
            ),
        ),
        (
            "{name: a, to: [x.test], mode: drop}",
            ("mode", "expected one of 'mtls', 'plaintext', 'deny', got 'drop'"),
        ),
        ("{to: [x.test], mode: deny}", ("name", "missing")),
        ("{name: a, mode: deny}", ("to", "missing")),
        (
            "{name: a, to: [x.test], mode: deny, peers: x}",
            ("peers", "expected a list of peers, got 'x' (write ['x'])"),
        ),
    ],
)
def test_a_bad_route_gets_this_sentence(text: str, expected: tuple[str, str]) -> None:
    with pytest.raises(Invalid) as caught:
        read(f"outbound: {{routes: [{text}]}}")
    found = [(finding.place[-1], finding.what) for finding in caught.value.findings]
    assert found == [expected]


def test_every_item_of_a_route_is_read() -> None:
    text = """
outbound:
  routes:
  - {name: a, to: [10.0.0.1/8, "*.x", 10.0.0.300, 5, "https://x"], mode: deny}
"""
    with pytest.raises(Invalid) as caught:
        read(text)
    items: list[Any] = [finding.place[-1] for finding in caught.value.findings]
    assert [item.at for item in items] == [0, 1, 2, 3, 4]
