"""What the chart makes of each file in ci/: objects that Kubernetes takes."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml

from deploy.k8s.plain_manifests import files
from sidecar.cli import _parser, main
from sidecar.config.files import UnreadableError
from sidecar.config.key_file import check_mode
from sidecar.injector.settings import parse_settings
from tests.support.helm import CHART, NAMESPACE, Manifest, find, helm, manifests, render
from tests.support.processes import ROOT
from tests.support.programs import require

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VALUES = sorted((CHART / "ci").glob("*-values.yaml"))
VERSIONS = ("1.27.0", "1.33.0", "1.37.0")
"""Of Kubernetes: the first that the chart takes, one in between, and the latest."""

OTHERS = {"Certificate", "Issuer", "PodMonitor", "PrometheusRule"}
"""What is not Kubernetes' own, and has no schema there."""

CA_BUNDLE = base64.encodebytes(b"# ours\n-----BEGIN CERTIFICATE-----\n...").decode()
"""With line breaks, as base64 writes it."""

each_values = pytest.mark.parametrize("values", VALUES, ids=lambda path: path.stem)


def test_there_are_values_for_each_way_to_install() -> None:
    assert len(VALUES) >= 5


@each_values
def test_helm_finds_nothing_to_complain_of(values: Path) -> None:
    linted = helm("lint", "--strict", "--quiet", CHART, "--values", values)
    assert linted.returncode == 0, linted.stdout + linted.stderr
    assert not linted.stdout


@each_values
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_keeps_the_schema_of_kubernetes(
    values: Path, version: str
) -> None:
    objects = manifests("--values", values, version=version)
    judged = [each for each in objects if each["kind"] not in OTHERS]
    assert judged
    for each in judged:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_misspelled_key_would_not_pass(version: str) -> None:
    deployment = find(manifests(version=version), "Deployment")
    deployment["spec"]["replcas"] = 2
    with pytest.raises(kubernetes_validate.ValidationError, match="replcas"):
        kubernetes_validate.validate(deployment, version, strict=True)


@each_values
def test_what_pods_get_passes_sidecar_check(
    values: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rendered = render("--values", values)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rendered.encode())))
    status = main(["check", "--manifests", "-"])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert "note:" not in out


@pytest.mark.parametrize(("version", "native"), [("1.28.9", False), ("1.29.0", True)])
def test_the_injector_knows_image_and_cluster(version: str, *, native: bool) -> None:
    config_map = find(manifests(version=version), "ConfigMap", "sidecar-injection")
    settings = parse_settings(config_map["data"]["injection.yaml"].encode(), "rendered")
    assert settings.image == "sidecar:0.1.0"
    assert settings.native is native


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("sidecar", "sidecar"),
        ("my-sidecar", "my-sidecar"),
        ("mesh", "mesh-sidecar"),
        ("v1.mesh", "v1-mesh-sidecar"),
        ("1mesh", "sidecar-1mesh"),
        ("production-service-mesh-of-the-platform-team-1", None),
        ("a.production-service-mesh-sidecar-of-all-teams.1", None),
    ],
)
def test_whatever_the_release_is_called_kubernetes_takes_the_names(
    release: str, name: str | None
) -> None:
    rendered = helm("template", release, CHART, "--kube-version", "1.33.0")
    assert rendered.returncode == 0, rendered.stderr
    objects = [each for each in yaml.safe_load_all(rendered.stdout) if each]
    service = find(objects, "Service")["metadata"]["name"]
    assert re.fullmatch("[a-z][a-z0-9-]{0,61}[a-z0-9]", service)
    assert service == f"{name}-webhook" or name is None
    for each in objects:
        longest = {"CronJob": 52, "Job": 63}.get(each["kind"], 63)
        assert len(each["metadata"]["name"]) <= longest, each["metadata"]["name"]


def test_the_chart_has_the_version_of_the_program() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    (said,) = [
        line.split('"')[1]
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.startswith("version = ")
    ]
    assert chart["version"] == chart["appVersion"] == said


@each_values
def test_every_pod_keeps_the_restricted_standard(values: Path) -> None:
    pods = list(pod_specs(manifests("--values", values)))
    for spec in pods:
        assert spec["securityContext"]["runAsNonRoot"]
        assert spec["securityContext"]["runAsUser"] == 1337
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["readOnlyRootFilesystem"]
            assert security["allowPrivilegeEscalation"] is False
            assert set(container["resources"]) == {"limits", "requests"}


def pod_specs(objects: list[Manifest]) -> Iterator[dict[str, Any]]:
    for each in objects:
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if each["kind"] in {"CronJob", "Deployment", "Job"}:
            yield spec["template"]["spec"]


@pytest.mark.parametrize("source", ["job", "cert-manager", "secret"])
def test_the_key_of_the_webhook_is_for_its_group_alone(source: str) -> None:
    """A kubelet gives the files of a Secret to root and the group `fsGroup`."""
    given = {"source": source, "secret": {"name": "mine", "caBundle": CA_BUNDLE}}
    rendered = manifests(values={"webhook": {"certificates": given}})
    spec = find(rendered, "Deployment")["spec"]["template"]["spec"]
    (secret,) = [each["secret"] for each in spec["volumes"] if "secret" in each]
    security = spec["securityContext"]
    own = {security["runAsGroup"], security["fsGroup"]}
    check_mode(secret["defaultMode"], security["fsGroup"], own)
    with pytest.raises(UnreadableError):
        check_mode(secret["defaultMode"], security["fsGroup"], own - {1337})
    assert not any("mode" in each for each in secret["items"])
    assert "--allow-readable-key" not in spec["containers"][0]["args"]


def test_a_ca_bundle_is_on_one_line_however_it_was_given() -> None:
    given = {"source": "secret", "secret": {"name": "mine", "caBundle": CA_BUNDLE}}
    rendered = manifests(values={"webhook": {"certificates": given}})
    made = find(rendered, "MutatingWebhookConfiguration")
    for each in made["webhooks"]:
        bundle = each["clientConfig"]["caBundle"]
        assert base64.b64decode(bundle, validate=True).startswith(b"# ours\n-----BEGIN")


@pytest.mark.parametrize(
    ("replicas", "least", "there"),
    [(2, 1, True), (1, 1, False), (3, 3, False), (1, "50%", True), (1, 0, True)],
)
def test_no_budget_keeps_a_node_from_being_drained(
    replicas: int, least: int | str, *, there: bool
) -> None:
    given = {"replicas": replicas, "podDisruptionBudget": {"minAvailable": least}}
    kinds = [each["kind"] for each in manifests(values={"webhook": given})]
    assert ("PodDisruptionBudget" in kinds) is there


def test_labels_of_ones_own_are_beside_those_that_are_asked_for() -> None:
    given = {"app.kubernetes.io/component": "x", "sidecar.mesh/inject": "enabled"}
    rendered = manifests(values={"webhook": {"podLabels": {**given, "team": "mesh"}}})
    spec = find(rendered, "Deployment")["spec"]
    labels = spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"].items() <= labels.items()
    assert (labels["sidecar.mesh/inject"], labels["team"]) == ("disabled", "mesh")


def test_only_a_job_may_ask_the_api_server_and_for_two_objects() -> None:
    objects = manifests()
    for each in objects:
        if each["kind"] == "ServiceAccount":
            assert each["automountServiceAccountToken"] is False
    tokens = [
        spec["serviceAccountName"]
        for spec in pod_specs(objects)
        if spec["automountServiceAccountToken"]
    ]
    assert set(tokens) == {"sidecar-webhook-certificates"}
    secret = find(objects, "Secret")["metadata"]["name"]
    configuration = find(objects, "MutatingWebhookConfiguration")["metadata"]["name"]
    (rule,) = find(objects, "Role")["rules"]
    assert rule["resources"] == ["secrets"]
    assert rule["resourceNames"] == [secret]
    (cluster_rule,) = find(objects, "ClusterRole")["rules"]
    assert cluster_rule["resources"] == ["mutatingwebhookconfigurations"]
    assert cluster_rule["resourceNames"] == [configuration]
    assert {*rule["verbs"], *cluster_rule["verbs"]} == {"get", "patch"}


@pytest.mark.parametrize("source", ["cert-manager", "secret"])
def test_no_job_has_rights_where_it_makes_no_certificates(source: str) -> None:
    secret = {"name": "mine", "caBundle": CA_BUNDLE}
    certificates = {"source": source, "secret": secret}
    objects = manifests(values={"webhook": {"certificates": certificates}})
    kinds = {each["kind"] for each in objects}
    assert not kinds & {"ClusterRole", "ClusterRoleBinding", "CronJob", "Role"}
    (mounted,) = {
        volume["secret"]["secretName"]
        for volume in find(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
        if "secret" in volume
    }
    named = (
        find(objects, "Certificate")["spec"]["secretName"]
        if source != "secret"
        else "mine"
    )
    assert mounted == named


@pytest.mark.parametrize(("policy", "fail"), [("Fail", "closed"), ("Ignore", "open")])
def test_the_webhook_fails_as_the_api_server_is_told(policy: str, fail: str) -> None:
    objects = manifests(values={"webhook": {"failurePolicy": policy}})
    webhooks = find(objects, "MutatingWebhookConfiguration")["webhooks"]
    assert {each["failurePolicy"] for each in webhooks} == {policy}
    (container,) = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert f"--fail={fail}" in container["args"]


def test_another_image_is_another_job_because_a_job_cannot_be_changed() -> None:
    names = {
        find(
            manifests(values={"image": {"tag": tag}, "check": {"enabled": False}}),
            "Job",
        )["metadata"]["name"]
        for tag in ("1", "2")
    }
    assert len(names) == 2


@pytest.mark.parametrize(
    ("namespace", "pod", "asked"),
    [
        ("enabled", None, True),
        ("true", "enabled", True),
        ("enabled", "disabled", False),
        ("enabled", "false", False),
        ("enabled", "no-such-word", True),
        (None, None, False),
        (None, "enabled", True),
        (None, "true", True),
        (None, "no-such-word", True),
        (None, "disabled", False),
        ("disabled", None, False),
        ("disabled", "enabled", True),
        ("no-such-word", None, True),
        ("no-such-word", "enabled", True),
        ("no-such-word", "disabled", False),
        ("", None, True),
    ],
)
def test_a_label_decides_of_whom_the_webhook_is_asked(
    namespace: str | None, pod: str | None, *, asked: bool
) -> None:
    webhooks = find(manifests(), "MutatingWebhookConfiguration")["webhooks"]
    name = "kubernetes.io/metadata.name"
    called = [
        matches(
            each["namespaceSelector"], {name: "shop", "sidecar.mesh/inject": namespace}
        )
        and matches(each["objectSelector"], {"sidecar.mesh/inject": pod})
        for each in webhooks
    ]
    assert called.count(True) == asked, "never by two"
    misspelt = namespace not in {None, "enabled", "true", "disabled"} and pod is None
    assert called[2] is misspelt
    assert webhooks[2]["clientConfig"]["service"]["path"] == "/misspelt"
    for own in ("kube-system", "kube-public", "kube-node-lease", NAMESPACE):
        labels = {name: own, "sidecar.mesh/inject": namespace}
        assert not any(matches(each["namespaceSelector"], labels) for each in webhooks)


def matches(selector: dict[str, Any], labels: dict[str, str | None]) -> bool:
    """Tell whether a label selector takes an object with these labels."""
    return all(
        meets(each["operator"], each.get("values", []), labels.get(each["key"]))
        for each in selector["matchExpressions"]
    )


def meets(operator: str, values: list[str], value: str | None) -> bool:
    if operator in {"Exists", "DoesNotExist"}:
        return (value is not None) is (operator == "Exists")
    return (value in values) is {"In": True, "NotIn": False}[operator]


def test_the_plain_manifests_are_those_of_the_chart() -> None:
    folder = ROOT / "deploy" / "k8s" / "manifests"
    made = files(require("helm"))
    assert {path.name for path in folder.iterdir()} == {"kustomization.yaml", *made}
    for name, text in made.items():
        assert (folder / name).read_text() == text, f"{name} is old: run scripts/chart"
        for each in yaml.safe_load_all(text):
            kubernetes_validate.validate(each, VERSIONS[1], strict=True)


def test_kubectl_puts_an_image_of_ones_own_into_the_plain_manifests(
    tmp_path: Path,
) -> None:
    folder = ROOT / "deploy" / "k8s" / "manifests"
    own = {
        "resources": [os.path.relpath(folder, tmp_path)],
        "images": [
            {"name": "sidecar", "newName": "example.org/sidecar", "newTag": "7"}
        ],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(own))
    built = subprocess.run(
        [require("kubectl"), "kustomize", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    objects = list(yaml.safe_load_all(built.stdout))
    plain = list(yaml.safe_load_all((folder / "sidecar.yaml").read_text()))
    assert len(objects) == len(plain)
    images = {
        container["image"]
        for spec in pod_specs(objects)
        for container in spec["containers"]
    }
    assert images == {"example.org/sidecar:7"}


@each_values
def test_every_container_is_told_what_the_program_understands(values: Path) -> None:
    for spec in pod_specs(manifests("--values", values)):
        for container in spec["containers"]:
            words = container["args"]
            assert _parser(words[0]).parse_args(words).command
