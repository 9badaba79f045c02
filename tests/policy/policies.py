"""Small policies and connections, made so that they meet often."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from attrs import evolve
from hypothesis import strategies as st

from sidecar.identity.names import CertificateNames
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import parse_pattern

TRUST_DOMAINS = ["x.test", "y.test"]
SEGMENTS = ["a", "b", "c"]
SOURCES = [
    "10.0.0.1",
    "10.0.0.2",
    "10.9.0.1",
    "192.0.2.1",
    "::ffff:10.0.0.1",
    "::1",
    "2001:db8::1",
]
NETWORKS = [
    "10.0.0.1/32",
    "10.0.0.0/24",
    "10.0.0.0/8",
    "0.0.0.0/0",
    "::ffff:10.0.0.0/120",
    "::ffff:0:0/96",
    "::/0",
    "::1/128",
    "2001:db8::/32",
]

ports = st.sampled_from([1, 2, 3])
sources = st.sampled_from([ip_address(text) for text in SOURCES])
_domains = st.sampled_from(TRUST_DOMAINS)
_attributes = st.sampled_from([("O", "a"), ("OU", "a"), ("OU", "b"), ("CN", "c")])

spiffe_ids = st.builds(
    lambda domain, path: SpiffeId(domain, f"/{'/'.join(path)}"),
    _domains,
    st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=4),
)
certificate_names = st.builds(
    CertificateNames,
    st.frozensets(st.sampled_from(["a.test", "b.test", "a.b.test", ".test", "test"])),
    st.lists(_attributes, max_size=4).map(tuple),
)
peers = spiffe_ids | certificate_names | st.none()

spiffe_patterns = st.builds(
    lambda domain, path, tail: f"spiffe://{domain}/{'/'.join((*path, *tail))}",
    _domains,
    st.lists(st.sampled_from([*SEGMENTS, "*"]), max_size=4),
    st.sampled_from([("**",), ("a",), ("*",)]),
)
patterns = (
    spiffe_patterns
    | st.sampled_from(["dns:a.test", "dns:*.test", "dns:*.b.test", "unauthenticated"])
    | st.lists(_attributes, min_size=1, max_size=3).map(
        lambda some: "subject:" + ",".join(f"{key}={value}" for key, value in some)
    )
).map(parse_pattern)


def some(values: st.SearchStrategy[int]) -> st.SearchStrategy[frozenset[int] | None]:
    return st.none() | st.frozensets(values, max_size=3)


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    rules = st.builds(
        Rule,
        name=st.just(""),
        action=st.sampled_from(Action),
        peers=st.lists(patterns, max_size=3).map(tuple),
        ports=some(ports),
        sources=st.none()
        | st.lists(st.sampled_from([ip_network(n) for n in NETWORKS]), max_size=3).map(
            tuple
        ),
        dry_run=st.booleans(),
    )
    drawn = draw(st.lists(rules, max_size=8))
    return Policy(
        draw(st.sampled_from(Default)),
        tuple(evolve(rule, name=f"r{at}") for at, rule in enumerate(drawn)),
    )
