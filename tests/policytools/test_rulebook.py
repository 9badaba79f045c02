from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from sidecar.config.manifests import find_config_maps
from sidecar.config.problems import ConfigError
from sidecar.config.yaml_document import parse_document
from sidecar.identity.spiffe_id import SpiffeId
from sidecar.policy.model import Policy
from sidecar.policytools.rulebook import (
    Rulebook,
    rulebook_of,
    rulebook_of_config_map,
)
from tests.policy import policies, reference
from tests.policytools.books import (
    CONFIG,
    FRONTEND,
    POLICY,
    of_files,
    of_text,
    of_values,
)

if TYPE_CHECKING:
    from sidecar.identity.peer import Peer


def problems(text: str, base: Path = Path("absent")) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        rulebook_of(parse_document(text.encode(), "x.yaml"), base)
    return [each.located for each in raised.value.problems]


def test_a_policy_is_told_from_a_configuration_by_its_keys(tmp_path: Path) -> None:
    alone, whole = of_text(), of_files(tmp_path)
    assert alone.config is None
    assert whole.config is not None
    assert alone.policy.rules == whole.policy.rules
    assert (alone.source, whole.source) == ("policy.yaml", "sidecar.yaml")


def test_a_rule_stands_in_a_file_and_on_a_line(tmp_path: Path) -> None:
    assert of_text().rule_place(1) == "policy.yaml:7"
    assert of_files(tmp_path).rule_place(0) == f"{tmp_path / 'policy.yaml'}:3"


def test_what_has_no_file_has_a_place_all_the_same() -> None:
    book = of_values(Policy())
    assert (book.rule_place(3), book.route_place(0)) == (
        "rules[3]",
        "outbound.routes[0]",
    )


def test_a_rule_is_found_by_its_name() -> None:
    book = of_text()
    assert [book.number_of(rule.name) for rule in book.policy.rules] == [0, 1, 2, 3]


def test_no_policy_is_no_rules(tmp_path: Path) -> None:
    config = re.sub(r"inbound:(\n  .*)+\npolicy.*\n", "", CONFIG)
    outbound = 'outbound: {listeners: [{listen: "[::]:15001", destination: original}]}'
    book = of_files(tmp_path, f"{config}{outbound}\n")
    assert (book.policy.rules, book.document) == ((), None)


def test_all_problems_of_both_files_come_at_once(tmp_path: Path) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.replace("deny", "no", 1))
    found = problems(CONFIG.replace("permissive", "lax"), tmp_path)
    assert len(found) == 2
    assert found[0].startswith("x.yaml:10: inbound.ports.9090.mode: expected one of")
    assert found[1].startswith(f"{tmp_path / 'policy.yaml'}:1: default: expected")


def test_a_policy_that_is_not_there_is_a_problem() -> None:
    assert problems(CONFIG) == ["absent/policy.yaml: no such file"]


def test_names_of_a_broken_identity_are_not_held_against_the_policy(
    tmp_path: Path,
) -> None:
    (tmp_path / "policy.yaml").write_text(POLICY.replace(FRONTEND, "dns:a.test"))
    assert len(problems(CONFIG.replace("tls.key", "[]"), tmp_path)) == 1
    (found,) = problems(CONFIG, tmp_path)
    assert "identity.accept" in found


def test_a_policy_alone_may_name_any_kind_of_peer() -> None:
    assert of_text(POLICY.replace(FRONTEND, "dns:a.test")).config is None


def test_a_manifest_is_told_where_it_belongs() -> None:
    (found,) = problems("apiVersion: v1\nkind: ConfigMap\n")
    assert "got a manifest of Kubernetes (name it with --manifests)" in found


def test_cases_are_told_what_tries_them() -> None:
    for text in ("cases: []\n", "policy: x\ncases: []\n"):
        (found,) = problems(text)
        assert "got a file of cases (try them: sidecar policy test)" in found
    assert "unknown key 'cases'" in problems("default: deny\ncases: []\n")[0]


def test_what_is_like_nothing_is_read_as_a_policy() -> None:
    assert problems("rulse: []") == [
        "x.yaml:1: rulse: unknown key 'rulse' (did you mean 'rules'?)"
    ]


def test_a_config_map_is_a_rulebook_as_its_files_are(tmp_path: Path) -> None:
    document = of_files(tmp_path).policy
    text = "".join(
        f"  {name}: |\n{re.sub('^', '    ', data, flags=re.MULTILINE)}\n"
        for name, data in (
            ("sidecar.yaml", CONFIG.replace("ca.crt", "/run/ca.crt")),
            ("policy.yaml", POLICY),
        )
    )
    manifest = f"kind: ConfigMap\nmetadata: {{name: x}}\ndata:\n{text}"
    (config_map,) = find_config_maps(manifest.encode(), "x")
    book = rulebook_of_config_map(config_map)
    assert book.policy.rules == document.rules
    assert book.source == "configmap x"
    assert book.rule_place(0) == "configmap x: policy.yaml:3"


@given(policies.policies(), policies.peers, policies.ports)
def test_the_first_rule_that_asks_for_a_source_is_found(
    policy: Policy, peer: Peer | None, port: int
) -> None:
    asking = [
        number
        for number, rule in enumerate(policy.rules)
        if rule.sources is not None
        and any(reference.matches(str(each), peer) for each in rule.peers)
        and (rule.ports is None or port in rule.ports)
    ]
    found = of_values(policy).first_with_sources(peer, port)
    assert found == (asking[0] if asking else None)


def test_a_policy_without_sources_never_asks_for_one() -> None:
    book = Rulebook("x", of_text("default: deny").policy)
    assert book.first_with_sources(SpiffeId.parse(FRONTEND), 8080) is None
