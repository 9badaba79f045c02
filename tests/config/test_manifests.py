from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given, strategies as st

from sidecar.config.manifests import ConfigMap, check_config_map, find_config_maps
from sidecar.config.problems import ConfigError
from tests.config.authorities import DAY, NOW, Authority, pem

CONFIG = """\
identity:
  certificate_chain: /run/tls.crt
  private_key: /run/tls.key
  trust_bundles: {example.org: /run/ca.crt}
inbound:
  listeners:
    - {listen: "[::]:15006", destination: original}
policy: policy.yaml
"""
RULE = {
    "name": "frontend",
    "action": "allow",
    "peers": ["spiffe://example.org/ns/shop/sa/frontend"],
}
POLICY = yaml.safe_dump({"default": "deny", "rules": [RULE]})


def manifest(**data: str) -> dict[str, Any]:
    metadata = {"name": "sidecar", "namespace": "shop"}
    return {"kind": "ConfigMap", "metadata": metadata, "data": data}


def found(*documents: object) -> tuple[ConfigMap, ...]:
    return find_config_maps(yaml.safe_dump_all(documents).encode(), "manifests")


def problems(config: str = CONFIG, **others: str) -> list[str]:
    config_map = ConfigMap("configmap shop/sidecar", {"sidecar.yaml": config, **others})
    with pytest.raises(ConfigError) as caught:
        check_config_map(config_map)
    return [problem.located for problem in caught.value.problems]


def test_config_maps_are_found_among_other_manifests_and_in_lists() -> None:
    one, other = manifest(a="x"), manifest(b="y")
    del other["metadata"]["namespace"]
    documents = ({"kind": "Secret"}, one, None, "x", {"items": [other, "x"]})
    first, second = found(*documents)
    assert (first.name, dict(first.data)) == ("configmap shop/sidecar", {"a": "x"})
    assert (second.name, dict(second.data)) == ("configmap sidecar", {"b": "y"})


def test_json_is_yaml() -> None:
    (only,) = find_config_maps(json.dumps(manifest(a="x")).encode(), "manifests")
    assert only.data == {"a": "x"}


def test_what_has_no_text_has_no_key() -> None:
    odd = {"kind": "ConfigMap", "metadata": None, "data": {"a": ["x"]}}
    (first, second) = found(odd, {"kind": "ConfigMap", "data": "x"})
    assert (first.name, first.data) == ("configmap None", {})
    assert second.data == {}


@given(st.binary())
def test_any_bytes_are_manifests_or_one_error(data: bytes) -> None:
    with suppress(ConfigError):
        find_config_maps(data, "manifests")


@pytest.mark.parametrize(
    "data", [b"{", b"\xff", b"? [a]\n: b", b"[" * 5000, b"a: &a [*a]\nb: *c"]
)
def test_what_is_not_yaml_is_refused(data: bytes) -> None:
    with pytest.raises(ConfigError, match="not YAML"):
        find_config_maps(data, "manifests")


def test_a_sound_config_map_needs_no_certificates() -> None:
    files = {"sidecar.yaml": CONFIG, "policy.yaml": POLICY}
    assert check_config_map(ConfigMap("configmap shop/sidecar", files)) == ()


def test_what_deserves_a_word_gets_it() -> None:
    rule = {**RULE, "name": "everybody", "peers": ["unauthenticated"]}
    files = {
        "sidecar.yaml": CONFIG + 'admin: {listen: "0.0.0.0:15000"}\n',
        "policy.yaml": yaml.safe_dump({"default": "allow", "rules": [RULE, rule]}),
    }
    on_config, on_policy = check_config_map(ConfigMap("configmap shop/sidecar", files))
    assert on_config.startswith("configmap shop/sidecar: sidecar.yaml:9: admin.listen:")
    assert on_policy.startswith("configmap shop/sidecar: policy.yaml:")


def test_the_problems_of_both_files_are_those_of_the_files() -> None:
    policy = POLICY.replace("spiffe:", "spife:")
    at = "configmap shop/sidecar: "
    assert problems(f"{CONFIG}inbuond: {{}}\n", **{"policy.yaml": policy}) == [
        f"{at}sidecar.yaml:9: inbuond: unknown key 'inbuond' (did you mean 'inbound'?)",
        f"{at}policy.yaml:6: rules[0].peers[0]: must start with 'spiffe://', 'dns:' or "
        "'subject:', or be 'unauthenticated', got 'spife://example.org/ns/shop/sa/"
        "frontend', did you mean 'spiffe://example.org/ns/shop/sa/frontend'?",
    ]


def test_an_identity_that_is_broken_is_not_held_against_a_rule() -> None:
    config = CONFIG.replace("private_key", "privat_key")
    policy = POLICY.replace("spiffe://example.org/ns/shop/sa/frontend", "dns:web.test")
    (problem,) = problems(config, **{"policy.yaml": policy})
    assert "privat_key" in problem


@pytest.mark.parametrize(
    ("named", "got"),
    [("polciy.yaml", "/etc/sidecar/polciy.yaml"), ("/etc/p.yaml", "/etc/p.yaml")],
)
def test_the_policy_is_a_key_of_the_same_config_map(named: str, got: str) -> None:
    config = CONFIG.replace("policy.yaml", named)
    assert problems(config, **{"policy.yaml": POLICY}) == [
        "configmap shop/sidecar: sidecar.yaml:8: policy: expected a key of the same "
        f"ConfigMap ('policy.yaml'), got {got!r}"
    ]


def test_where_there_is_no_policy_it_says_so() -> None:
    assert "(none beside it)" in problems()[0]


def test_without_inbound_there_is_no_policy() -> None:
    config = CONFIG.replace("policy: policy.yaml\n", "").replace("inbound", "outbound")
    config = config.replace("[::]:15006", "127.0.0.1:15001")
    config_map = ConfigMap("configmap shop/sidecar", {"sidecar.yaml": config})
    assert check_config_map(config_map) == ()


TRUST = "trust_bundles: {example.org: /run/ca.crt"
ROOT = pem(Authority.root().certificate).decode()


def with_trust(more: str) -> str:
    return CONFIG.replace(f"{TRUST}}}", f"{TRUST}{more}")


NAMED = "}\n  accept: [spiffe, dns]\n  name_bundle: names.pem\n  crl: ca.crl"


def test_certificates_of_cas_may_lie_beside_it() -> None:
    files = {
        "sidecar.yaml": with_trust(f", partner.test: partner.pem{NAMED}"),
        "policy.yaml": POLICY,
        "partner.pem": '{"keys": []}',
        "names.pem": ROOT,
        "ca.crl": pem(Authority.root().crl(NOW + DAY)).decode(),
    }
    assert check_config_map(ConfigMap("configmap shop/sidecar", files)) == ()


def test_what_should_lie_beside_it_and_does_not_is_missed() -> None:
    config = with_trust(f", partner.test: partner.pem{NAMED}")
    found = problems(config, **{"policy.yaml": POLICY, "partners.pem": ROOT})
    at, keys = "configmap shop/sidecar: sidecar.yaml", "'partners.pem', 'policy.yaml'"
    what = f"expected a key of the same ConfigMap ({keys}), got '/etc/sidecar"
    assert found == [
        f"{at}:4: identity.trust_bundles.partner.test: {what}/partner.pem'",
        f"{at}:6: identity.name_bundle: {what}/names.pem'",
        f"{at}:7: identity.crl: {what}/ca.crl'",
    ]


@pytest.mark.parametrize("text", ["", "\ud800", "not a certificate", "{"])
def test_what_is_no_certificate_is_none_here_either(text: str) -> None:
    files = dict.fromkeys(("partner.pem", "names.pem", "ca.crl"), text)
    config = with_trust(f", partner.test: partner.pem{NAMED}")
    found = problems(config, **{"policy.yaml": POLICY, **files})
    assert len(found) == 3
    assert "identity.crl: /etc/sidecar/ca.crl: " in found[-1]
