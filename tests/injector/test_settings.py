from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve, fields
from hypothesis import given, strategies as st

from sidecar.config.model import LogLevel
from sidecar.config.problems import ConfigError
from sidecar.config.yaml_document import parse_document
from sidecar.injector import settings as module
from sidecar.injector.annotations import SETTERS
from sidecar.injector.model import (
    PREFIX,
    IdentitySource,
    IdentityVolume,
    InjectionSettings,
    KubernetesVersion,
    NativeSidecar,
    PullPolicy,
    RedirectSettings,
    Resources,
)
from sidecar.injector.settings import load_settings, parse_settings

WHOLE = """
image: registry.example.org/sidecar:0.1.0
image_pull_policy: Always
image_pull_secrets: [pull]
init_image: registry.example.org/sidecar-init:0.1.0
native_sidecar: never
kubernetes_version: "1.30"
hold_application: false
rewrite_probes: false
prometheus_annotations: false
config_map: mesh
identity: {source: secret, mount: /run/svid, secret: "svid-{service_account}"}
resources: {requests: {cpu: 1, memory: 64Mi}, limits: {cpu: 1.5}}
init_resources: {}
redirect:
  enabled: false
  exclude_inbound_ports: [22, "9000-9010"]
  exclude_outbound_ports: 53
  include_outbound_cidrs: "*"
proxy_uid: 2000
proxy_gid: 3000
log_level: warning
drain_seconds: 60
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse_settings(text.encode(), "injection.yaml")
    return [each.located for each in error.value.problems]


def test_an_image_is_enough() -> None:
    assert parse_settings(b"image: sidecar", "x") == InjectionSettings("sidecar")


def test_every_key_is_read(tmp_path: Path) -> None:
    path = tmp_path / "injection.yaml"
    path.write_text(WHOLE)
    assert load_settings(path) == InjectionSettings(
        image="registry.example.org/sidecar:0.1.0",
        image_pull_policy=PullPolicy.ALWAYS,
        image_pull_secrets=("pull",),
        init_image="registry.example.org/sidecar-init:0.1.0",
        native_sidecar=NativeSidecar.NEVER,
        kubernetes_version=KubernetesVersion(1, 30),
        hold_application=False,
        rewrite_probes=False,
        prometheus_annotations=False,
        config_map="mesh",
        identity=IdentityVolume(
            IdentitySource.SECRET, None, "/run/svid", "svid-{service_account}"
        ),
        resources=Resources("1", "64Mi", "1.5", None),
        init_resources=Resources(),
        redirect=RedirectSettings(
            enabled=False,
            options={
                "exclude_inbound_ports": "22,9000-9010",
                "exclude_outbound_ports": "53",
                "include_outbound_cidrs": "*",
            },
        ),
        proxy_uid=2000,
        proxy_gid=3000,
        log_level=LogLevel.WARNING,
        drain_seconds=60,
    )


def test_there_is_a_key_for_every_setting() -> None:
    names = {each.name for each in fields(InjectionSettings)}
    assert {*module._READERS} == names
    assert {*parse_document(WHOLE.encode(), "x").root} == names


def test_every_problem_is_told_at_once_at_its_line() -> None:
    assert problems(
        """\
imagee: x
image_pull_policy: always
kubernetes_version: 1.30
identity: {source: csi, mount: run, secret: "{account}"}
resources: {requests: {cpu: many, memory: 1Gi}, limit: {}}
init_resources: {requests: {memory: 1Gi}, limits: {memory: 1Mi}}
redirect:
  enable: true
  enabled: 1
  exclude_inbound_ports: [70000, 15006]
  exclude_outbound_ports: [53]
  include_outbound_ports: {}
  include_inbound_ports: [[]]
proxy_uid: 0
"""
    ) == [
        "injection.yaml: image: missing",
        "injection.yaml:1: imagee: unknown key 'imagee' (did you mean 'image'?)",
        "injection.yaml:2: image_pull_policy: expected one of 'Always', 'IfNotPresent',"
        " 'Never', got 'always' (did you mean 'Always'?)",
        "injection.yaml:3: kubernetes_version: expected text, got 1.3 (put it in quotes)",
        "injection.yaml:4: identity.mount: expected an absolute path, got 'run'",
        "injection.yaml:4: identity.secret: a name has lower case letters, digits, '-'"
        " and '.', at most 253 of them, got '{account}'",
        "injection.yaml:5: resources.requests.cpu: expected a quantity, as in '50m' or"
        " '64Mi', got 'many'",
        "injection.yaml:5: resources.limit: unknown key 'limit'"
        " (did you mean 'limits'?)",
        "injection.yaml:6: init_resources.requests.memory: a request is at most the"
        " limit, 1Mi, got '1Gi'",
        "injection.yaml:8: redirect.enable: unknown key 'enable'"
        " (did you mean 'enabled'?)",
        "injection.yaml:9: redirect.enabled: expected true or false, got 1",
        "injection.yaml:10: redirect.exclude_inbound_ports: a port is a number from 1"
        " to 65535, got '70000'",
        "injection.yaml:12: redirect.include_outbound_ports: expected a list, got a"
        " mapping",
        "injection.yaml:13: redirect.include_inbound_ports: expected a list, got a list",
        "injection.yaml:14: proxy_uid: expected a whole number from 1 to 2147483647,"
        " got 0",
    ]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("image: x\nimage: y", "image: "),
        ("image: x\nredirect: 1", "redirect: expected a mapping, got 1"),
        ("image: x\nkubernetes_version: new", "expected a version"),
        (
            "image: x\nidentity: {source: secret, driver: a}",
            "identity.driver: a Secret has no CSI driver: remove the key",
        ),
        (
            "image: x\nredirect: {exclude_inbound_ports: [15006]}",
            "redirect.exclude_inbound_ports: the sidecar's listener 15006 is never",
        ),
        (
            "image: x\nredirect: {inbound_mode: both}",
            "redirect.inbound_mode: one of 'redirect', 'tproxy', got 'both'",
        ),
        ("", "the file is empty"),
    ],
)
def test_a_problem_is_a_sentence(text: str, what: str) -> None:
    (problem,) = problems(text)
    assert what in problem


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_settings(tmp_path / "injection.yaml")


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_settings_or_refused(data: bytes) -> None:
    with pytest.raises(ConfigError):
        parse_settings(b"?" + data, "x")


PAGE = (Path(__file__).parents[2] / "deploy" / "k8s" / "injection.md").read_text()


def test_the_page_on_injection_shows_every_key_with_its_default() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    shown = parse_settings(block.encode(), "injection.md")
    assert {*parse_document(block.encode(), "x").root} == {*module._READERS}
    said: dict[str, Any] = {
        "image_pull_policy": PullPolicy.IF_NOT_PRESENT,
        "init_image": shown.image,
        "kubernetes_version": KubernetesVersion(1, 34),
        "redirect": RedirectSettings(options={"exclude_outbound_ports": "53"}),
        "log_level": LogLevel.INFO,
    }
    assert shown == evolve(InjectionSettings(shown.image), **said)


def test_the_page_on_injection_names_every_annotation() -> None:
    table = PAGE[PAGE.index("## Annotations") : PAGE.index("## `injection.yaml`")]
    keys = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    named = {name for key in keys for name in re.findall(r"`([a-z-]+)`", key)}
    assert {PREFIX + name for name in named} == {*SETTERS}
