"""The policy as values, and the words it shares with others."""

from __future__ import annotations

from sidecar.policy.model import Action, Default, Policy, Rule
from sidecar.policy.pattern import Unauthenticated


def test_a_policy_without_rules_denies() -> None:
    assert Policy() == Policy(Default.DENY, ())


def test_a_rule_counts_for_every_port_and_source_unless_it_says_so() -> None:
    rule = Rule("plain", Action.ALLOW, (Unauthenticated(),))
    assert (rule.ports, rule.sources, rule.dry_run) == (None, None, False)


def test_actions_and_defaults_are_the_words_of_the_file() -> None:
    assert [action.value for action in Action] == ["allow", "deny"]
    assert [default.value for default in Default] == ["deny", "audit", "allow"]
