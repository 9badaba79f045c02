from __future__ import annotations

import pytest
from attrs import fields

from sidecar.config.place import Finding, Index, Invalid
from sidecar.config.policy_sections import read_whole_policy
from sidecar.config.yaml_document import parse_document
from sidecar.policy.model import Default, Policy, Rule


def read(text: str) -> Policy:
    return read_whole_policy(parse_document(text.encode(), "p").root, None)


RULE = "{name: a, action: allow, peers: ['spiffe://x.test/*']}"


def test_a_rule_without_more_holds_for_every_port_and_source() -> None:
    (rule,) = read(f"rules: [{RULE}]").rules
    assert (rule.ports, rule.sources, rule.dry_run) == (None, None, False)


def test_the_default_is_deny() -> None:
    assert read("rules: []").default is Default.DENY


@pytest.mark.parametrize("key", [attribute.name for attribute in fields(Rule)])
def test_no_key_of_a_rule_takes_nothing(key: str) -> None:
    text = (
        RULE.replace("}", f", {key}: null}}")
        if key not in RULE
        else (RULE.replace(f"{key}: ", f"{key}: null, x{key}: "))
    )
    with pytest.raises(Invalid) as caught:
        read(f"rules: [{text}]")
    assert ("rules", Index(0), key) in {f.place for f in caught.value.findings}


def test_two_rules_of_one_name_are_told_apart_by_nobody() -> None:
    with pytest.raises(Invalid) as caught:
        read(f"rules: [{RULE}, {RULE}]")
    assert caught.value.findings == (
        Finding(
            ("rules", Index(1), "name"),
            "duplicate name 'a', first at rules[0].name",
        ),
    )
