from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sidecar.config.check import check
from sidecar.config.material import FileTrust
from sidecar.config.problems import ConfigError
from sidecar.policy.model import Default, Policy
from tests.config.authorities import (
    DAY,
    NOW,
    Authority,
    key_pem,
    pem,
    write_workload,
)

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


def test_a_policy_that_is_known_is_not_parsed_again(write_all: Write) -> None:
    first = check(write_all(CONFIG), NOW)
    again = check(write_all(CONFIG), NOW, None, first)
    assert again.policy is first.policy
    write_all(POLICY + "# and a word\n", "policy.yaml")
    changed = check(write_all(CONFIG), NOW, None, first)
    assert changed.policy is not first.policy
    assert changed.policy == first.policy
    write_all(POLICY + "rulse: []\n", "policy.yaml")
    with pytest.raises(ConfigError):
        check(write_all(CONFIG), NOW, None, first)


def test_a_policy_is_judged_again_where_other_names_count(write_all: Write) -> None:
    """Its rules may name peers of a kind that was accepted and is no more."""
    both = CONFIG.replace(
        "inbound:", "  accept: [spiffe, dns]\n  name_bundle: ca.crt\ninbound:"
    )
    write_all(POLICY.replace("spiffe://example.org/**", "dns:a.org"), "policy.yaml")
    first = check(write_all(both), NOW)
    with pytest.raises(ConfigError):
        check(write_all(CONFIG), NOW, None, first)


def test_good_files_are_loaded_all_three(write_all: Write) -> None:
    checked = check(write_all(CONFIG), NOW)
    assert checked.config.policy == Path("policy.yaml")
    assert checked.policy.default is Default.AUDIT
    assert len(checked.policy.rules) == 1
    assert checked.material is not None
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
    Path("tls.key").chmod(0o640)
    assert check(write_all(CONFIG + ADMIN), NOW).notes == (
        "sidecar.yaml:3: identity.private_key: tls.key: others than its owner have "
        "access, mode 0640",
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
    assert refusals(write_all(CONFIG)) == [
        "sidecar.yaml:7: policy: policy.yaml: no such file"
    ]


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


WITH_API = "identity:\n  workload_api: unix:///s\n" + CONFIG[CONFIG.index("inbound:") :]
WITHOUT_SOURCE = "identity: {accept: [spiffe]}\n" + CONFIG[CONFIG.index("inbound:") :]


def test_a_workload_api_brings_what_files_would(write_all: Write) -> None:
    checked = check(write_all(WITH_API), NOW)
    assert checked.material is None
    assert checked.config.identity.workload_api == "unix:///s"
    assert checked.files == FileTrust()


def test_files_beside_a_workload_api_are_read(write_all: Write) -> None:
    crl = pem(Authority.root().crl(NOW + DAY))
    write_all(crl.decode(), "ca.crl")
    text = WITH_API.replace("inbound:", "  crl: ca.crl\ninbound:", 1)
    assert len(check(write_all(text), NOW).files.crls) == 1
    Path("ca.crl").unlink()
    assert refusals(Path("sidecar.yaml")) == [
        "sidecar.yaml:3: identity.crl: ca.crl: no such file"
    ]


@pytest.mark.parametrize("text", [WITHOUT_SOURCE, WITHOUT_SOURCE[29:]])
def test_the_environment_says_where_the_workload_api_is(
    write_all: Write, text: str
) -> None:
    checked = check(write_all(text), NOW, "unix:///run/agent.sock")
    assert checked.config.identity.workload_api == "unix:///run/agent.sock"
    assert checked.endpoint_socket == "unix:///run/agent.sock"


@pytest.mark.parametrize("socket", [None, ""])
def test_without_an_environment_there_is_no_source(
    write_all: Write, socket: str | None
) -> None:
    with pytest.raises(ConfigError, match="identity: names no certificate"):
        check(write_all(WITHOUT_SOURCE), NOW, socket)


@pytest.mark.parametrize("text", [CONFIG, WITH_API])
def test_what_the_configuration_says_comes_before_the_environment(
    write_all: Write, text: str
) -> None:
    path = write_all(text)
    assert check(path, NOW, "unix:///other").config == check(path, NOW).config


def test_an_environment_that_names_no_socket_is_a_problem_if_it_counts(
    write_all: Write,
) -> None:
    path = write_all(WITHOUT_SOURCE)
    with pytest.raises(ConfigError) as caught:
        check(path, NOW, "tcp://127.0.0.1:8081")
    assert [each.located for each in caught.value.problems] == [
        "sidecar.yaml:1: identity: SPIFFE_ENDPOINT_SOCKET: expected a socket, as in "
        "'unix:///run/spire/agent.sock', got 'tcp://127.0.0.1:8081'"
    ]
    assert check(write_all(CONFIG), NOW, "tcp://127.0.0.1:8081").material is not None


def test_what_an_identity_lacks_is_said_once(write_all: Write) -> None:
    more = "  additional: {billing: {private_key: tls.key}}\ninbound:"
    assert refusals(write_all(CONFIG.replace("inbound:", more))) == [
        "sidecar.yaml:5: identity.additional.billing.certificate_chain: missing"
    ]


def test_the_lines_of_what_only_openssl_can_judge_are_kept(write_all: Write) -> None:
    path = write_all(CONFIG + "tls:\n  groups: [P-256]\n")
    checked = check(path, NOW)
    assert checked.lines["identity.certificate_chain"] == 2
    assert checked.lines["tls.groups"] == len(path.read_text().splitlines())


def test_what_is_no_file_is_refused(write: Write) -> None:
    write("", "sidecar.yaml")
    assert refusals(Path("none.yaml")) == ["none.yaml: no such file"]
    assert refusals(Path("sidecar.yaml")) == ["sidecar.yaml: the file is empty"]
