"""Ensures that the programs which the examples name take every one of them."""

from __future__ import annotations

import io
import re
import sys
from typing import TYPE_CHECKING

import kubernetes_validate
import pytest
import yaml

from sidecar.cli import main
from tests.support.examples import EXAMPLES, FILES, Example, pod_template
from tests.support.helm import CHART, find, helm, render

if TYPE_CHECKING:
    from pathlib import Path

NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/values.yaml"))
WITH_PODS = [name for name in NAMES if (EXAMPLES / name / "namespaces.yaml").exists()]
VERSIONS = ("1.28.0", "1.33.0", "1.37.0")
"""Of Kubernetes, as in `test_rendered`."""

each_example = pytest.mark.parametrize("example", NAMES, indirect=True)
each_with_pods = pytest.mark.parametrize("example", WITH_PODS, indirect=True)


@pytest.fixture(scope="module")
def example(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Example:
    name: str = request.param
    return Example.made(name, tmp_path_factory.mktemp(name))


def test_there_is_one_for_each_case() -> None:
    assert NAMES == ["clinic", "limits", "partner", "shop"]
    readme = (EXAMPLES / "README.md").read_text()
    for name in NAMES:
        assert f"({name}/README.md)" in readme


@each_example
def test_helm_finds_nothing_to_complain_of(example: Example) -> None:
    linted = helm("lint", "--strict", "--quiet", CHART, *example.given)
    assert (linted.returncode, linted.stdout) == (0, ""), linted.stderr


@each_example
def test_sidecar_check_has_nothing_to_say(
    example: Example,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rendered = render(*example.given)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rendered.encode())))
    status = main(["check", "--manifests", "-"])
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    assert "note:" not in out


@each_example
def test_its_policies_do_what_the_cases_beside_them_say(
    example: Example,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    own = example.folder if example.name in WITH_PODS else EXAMPLES / "shop"
    cases = [str(path) for path in sorted(own.glob("policy-tests/*.yaml"))]
    rendered = render(*example.given)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(rendered.encode())))
    # Every rule decides one of them: none can change, and no case notice.
    words = ["policy", "test", "--manifests", "-", "--require-coverage", *cases]
    status = main(words)
    out, err = capsys.readouterr()
    assert (status, err) == (0, ""), out
    meshed = [
        f"configmap {each['metadata']['namespace']}/{each['metadata']['name']}: "
        for each in yaml.safe_load_all(rendered)
        if each and each["kind"] == "ConfigMap" and "sidecar.yaml" in each["data"]
    ]
    assert meshed
    assert all(name in out for name in meshed)


@each_example
@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_chart_makes_keeps_the_schema_of_kubernetes(
    example: Example, version: str
) -> None:
    for each in example.rendered(version):
        kubernetes_validate.validate(each, version, strict=True)


@each_with_pods
@pytest.mark.parametrize("version", VERSIONS)
def test_every_pod_is_injected_and_keeps_the_schema_of_kubernetes(
    example: Example, version: str
) -> None:
    for each in example.objects():
        kubernetes_validate.validate(each, version, strict=True)
    injected = example.injected(version)
    pods = [pod for each in injected if (pod := pod_template(each)) is not None]
    assert pods
    for each in injected:
        kubernetes_validate.validate(each, version, strict=True)
    for pod in pods:
        assert pod["metadata"]["labels"]["sidecar.mesh/injected"] == "true"


@each_with_pods
def test_uninject_gives_back_what_is_here(
    example: Example, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    example.injected()
    settings = str(example.settings)
    for path in example.paths:
        injected = tmp_path / path.name
        main(["inject", "--settings", settings, str(path), "-o", str(injected)])
        capsys.readouterr()
        assert main(["uninject", str(injected)]) == 0
        assert capsys.readouterr().out == path.read_text()


@each_with_pods
def test_every_namespace_of_the_values_is_labelled_and_has_its_pods(
    example: Example,
) -> None:
    objects, rendered = example.objects(), example.rendered()
    meshed = {
        each["metadata"]["namespace"]
        for each in rendered
        if each["kind"] == "ConfigMap" and "sidecar.yaml" in each["data"]
    }
    for namespace in meshed:
        labels = find(objects, "Namespace", namespace)["metadata"]["labels"]
        assert labels["sidecar.mesh/inject"] == "enabled"
    for each in objects:
        if pod_template(each) is not None:
            assert each["metadata"]["namespace"] in meshed


@each_with_pods
def test_the_readme_makes_a_certificate_for_every_service_account(
    example: Example,
) -> None:
    accounts = {
        f"{each['metadata']['namespace']}/{each['metadata']['name']}"
        for each in example.objects()
        if each["kind"] == "ServiceAccount"
    }
    for each in example.objects():
        if (pod := pod_template(each)) is not None:
            account = pod["spec"]["serviceAccountName"]
            assert f"{each['metadata']['namespace']}/{account}" in accounts
    readme = (example.folder / "README.md").read_text().replace("\\\n", " ")
    if example.name in FILES:
        assert f"--set-file '{FILES[example.name][1]}'" in readme
    (words,) = re.findall(r"secrets\.sh (\S+) (.*?) *\|", readme)
    domain, made = words
    assert {word.partition("=")[0] for word in made.split()} == accounts
    values = yaml.safe_load((example.folder / "values.yaml").read_text())
    assert values["mesh"]["trustDomain"] == domain
