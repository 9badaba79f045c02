"""What each key of `policy.yaml` takes."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from sidecar.config import text_shapes
from sidecar.config.address import parse_network
from sidecar.config.readers import choice, listed, parsed, read_flag, read_name
from sidecar.config.section_rules import unique_names
from sidecar.config.sections import PORTS
from sidecar.config.structure import reader_of
from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import parse_pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sidecar.config.place import Finding

# Large policies repeat their peers and networks; a cache saves time, and memory too.
_PEER: Final = parsed(
    lru_cache(8192)(parse_pattern),
    "a peer, as in 'spiffe://example.org/ns/shop/sa/api'",
    text_shapes.PEER,
)
_SOURCE: Final = parsed(
    lru_cache(8192)(parse_network), "a network, as in '10.0.0.0/8'", text_shapes.NETWORK
)


def _check_policy(policy: Policy) -> Iterator[Finding]:
    """No two rules have one name: metrics could not tell them apart."""
    return unique_names((rule.name for rule in policy.rules), "rules")


_RULE: Final = reader_of(
    Rule,
    {
        "name": read_name,
        "action": choice(Action),
        "peers": listed(_PEER, "peers", "a rule without peers matches nobody"),
        "ports": PORTS,
        "sources": listed(_SOURCE, "networks", "leave the key out for anywhere"),
        "dry_run": read_flag,
    },
)

read_whole_policy: Final = reader_of(
    Policy,
    {"default": choice(Default), "rules": listed(_RULE, "rules")},
    _check_policy,
)
