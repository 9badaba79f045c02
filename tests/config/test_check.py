from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.config.check import check
from sidecar.config.problems import ConfigError
from sidecar.policy.model import Default, Policy
from tests.config.authorities import NOW, Authority, key_pem, pem, write_workload

if TYPE_CHECKING:
    from tests.config.conftest import Write

CONFIG = """\
identity:
  certificate_chain: tls.crt
  private_key: tls.key
  trust_bundles: {example.org: ca.crt}
inbound:
  listeners: [{listen: "[::]:15006", destination: original}]
policy: policy.yaml
"""
POLICY = """\
default: audit
rules:
- {name: a, action: allow, peers: ["spiffe://example.org/**"]}
"""
OUTBOUND_ONLY = CONFIG.replace("inbound", "outbound").replace("policy:", "# policy:")


@pytest.fixture
def write_all(write: Write) -> Write:
    write(POLICY, "policy.yaml")
    write_workload(Path())
    return write


def refusals(path: Path) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        check(path, NOW)
    assert caught.value.source == str(path)
    return [problem.located for problem in caught.value.problems]


def test_good_files_are_loaded_all_three(write_all: Write) -> None:
    checked = check(write_all(CONFIG), NOW)
    assert checked.config.policy == Path("policy.yaml")
    assert checked.policy.default is Default.AUDIT
    assert len(checked.policy.rules) == 1
    assert str(checked.material.svid.name) == "spiffe://example.org/ns/shop/sa/cart"
    assert checked.notes == ()


def test_files_are_named_relative_to_the_configuration(write: Write) -> None:
    path = write(CONFIG, "conf/sidecar.yaml")
    write(POLICY, "conf/policy.yaml")
    write_workload(Path("conf"))
    assert check(path, NOW).config.policy == Path("conf/policy.yaml")


def test_where_nothing_comes_in_no_policy_is_needed(write_all: Write) -> None:
    assert check(write_all(OUTBOUND_ONLY), NOW).policy == Policy()


ADMIN = "admin: {listen: '0.0.0.0:15000'}\n"


def test_notes_of_all_files_say_their_lines(write_all: Write) -> None:
    write_all(
        POLICY.replace("example.org", "other.test"),
        "policy.yaml",
    )
    Path("tls.key").chmod(0o644)
    assert check(write_all(CONFIG + ADMIN), NOW).notes == (
        "sidecar.yaml:3: identity.private_key: tls.key: others than its owner have "
        "access, mode 0644",
        "sidecar.yaml:8: admin.listen: 0.0.0.0:15000 is reachable from other machines, "
        "and whoever reaches it may change state",
        "policy.yaml:3: rules[0].peers[0]: matches nobody: trust domain 'other.test' "
        "has no bundle",
    )


def test_problems_of_all_files_are_reported_at_once(write_all: Write) -> None:
    write_all(POLICY.replace("allow", "permit"), "policy.yaml")
    write_all(key_pem("other"), "tls.key")
    write_all(pem(Authority.root("x").leaf()), "ca.crt")
    lines = refusals(write_all(CONFIG + "workers: 0\n"))
    assert [line.partition(": expected")[0] for line in lines] == [
        lines[0],
        lines[1],
        "sidecar.yaml:8: workers",
        "policy.yaml:3: rules[0].action",
    ]
    assert lines[0].startswith("sidecar.yaml:3: identity.private_key: tls.key: ")
    assert lines[1].startswith(
        "sidecar.yaml:4: identity.trust_bundles.example.org: ca.crt: certificate 1: "
    )


def test_a_missing_policy_has_its_own_name(write_all: Write) -> None:
    Path("policy.yaml").unlink()
    assert refusals(write_all(CONFIG)) == ["policy.yaml: no such file"]


def test_a_broken_configuration_still_names_the_policy_to_look_at(
    write_all: Write,
) -> None:
    write_all("rules: [{name: a, action: alow, peers: ['dns:a']}]", "policy.yaml")
    lines = refusals(
        write_all(CONFIG.replace("identity:", "identity: {accept: 5}\nx:"))
    )
    assert [line.partition(": ")[0] for line in lines] == [
        "sidecar.yaml:1",
        "sidecar.yaml:2",
        "policy.yaml:1",
    ]
    # Which names count cannot be known, so no rule is blamed for its peers.
    assert not [line for line in lines if "identity.accept does not have" in line]


def test_a_kind_of_name_that_does_not_count_is_a_problem_of_the_policy(
    write_all: Write,
) -> None:
    write_all("rules: [{name: a, action: allow, peers: ['dns:a']}]", "policy.yaml")
    assert refusals(write_all(CONFIG)) == [
        "policy.yaml:1: rules[0].peers[0]: identity.accept does not have 'dns', "
        "got 'dns:a'"
    ]


def test_a_workload_api_is_refused_until_it_is_there(write_all: Write) -> None:
    text = (
        "identity: {workload_api: 'unix:///s'}\ninbound:"
        + (CONFIG.partition("inbound:")[2])
    )
    assert refusals(write_all(text)) == [
        "sidecar.yaml:1: identity.workload_api: not in this release: name "
        "certificate_chain, private_key, trust_bundles"
    ]


def test_what_is_no_file_is_refused(write: Write) -> None:
    write("", "sidecar.yaml")
    assert refusals(Path("none.yaml")) == ["none.yaml: no such file"]
    assert refusals(Path("sidecar.yaml")) == ["sidecar.yaml: the file is empty"]
