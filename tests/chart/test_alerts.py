"""The alert rules: promtool's tests of each, and what the runbook has for it."""

from __future__ import annotations

import re
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry

from sidecar.webhook.metrics import WebhookMetrics
from tests.support.helm import CHART, manifests
from tests.support.programs import require
from tests.support.sidecars import Samples

FOLDER = CHART / "files" / "alerts"
RULES = FOLDER / "sidecar-pods.yaml"
FILES = sorted(FOLDER.glob("*.yaml"))
TESTS = sorted((FOLDER / "tests").glob("*.yaml"))
NAMED = re.compile(r'alertname="(\w+)"')
SEVERITIES = {"critical", "warning", "info"}


def alerts() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in FILES]
    return [
        rule
        for document in documents
        for group in document["groups"]
        for rule in group["rules"]
    ]


def promtool(*words: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require("promtool"), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def expectations() -> list[dict[str, Any]]:
    documents = [yaml.safe_load(path.read_text()) for path in TESTS]
    return [
        each
        for document in documents
        for test in document["tests"]
        for each in test["promql_expr_test"]
    ]


def test_promtool_sees_each_fire_and_keep_silent() -> None:
    tested = promtool("test", "rules", *TESTS)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_promtool_would_see_a_rule_that_is_too_eager(
    tmp_path: Any,
) -> None:
    eager = RULES.read_text().replace("< 0.25", "< 0.5")
    (tmp_path / RULES.name).write_text(eager)
    (tmp_path / "tests").mkdir()
    copy = tmp_path / "tests" / RULES.name
    copy.write_text((FOLDER / "tests" / RULES.name).read_text())
    tested = promtool("test", "rules", copy)
    assert tested.returncode != 0
    assert "SidecarCertificateNearItsEnd" in tested.stdout + tested.stderr


@pytest.mark.parametrize("name", [rule["alert"] for rule in alerts()])
def test_each_has_a_test_in_which_it_fires_and_one_in_which_it_does_not(
    name: str,
) -> None:
    fires = [
        each
        for each in expectations()
        for sample in each["exp_samples"]
        if name in NAMED.findall(sample["labels"])
    ]
    silent = [
        each
        for each in expectations()
        if not any(name in sample["labels"] for sample in each["exp_samples"])
        and asks_for(each["expr"], name)
    ]
    assert fires
    assert silent


def asks_for(expr: str, name: str) -> bool:
    """Tell whether an ALERTS selector of the tests would give that alert."""
    for operator, value in re.findall(r'alertname(=~|!=|=)"([^"]+)"', expr):
        equal = re.fullmatch(value, name) is not None
        if equal is (operator == "!="):
            return False
    return True


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: str(rule["alert"]))
def test_each_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"].keys() == {"severity"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert rule["annotations"].keys() == {"summary", "description"}
    assert len(rule["annotations"]["description"]) > 80
    runbook = (FOLDER / "README.md").read_text()
    section = runbook.partition(f"\n## {rule['alert']}\n")[2]
    assert section.lstrip().startswith(rule["labels"]["severity"])


def test_the_runbook_has_no_alert_that_is_gone() -> None:
    titles = re.findall(
        r"^## (Sidecar\w+)$", (FOLDER / "README.md").read_text(), re.MULTILINE
    )
    assert titles == [rule["alert"] for rule in alerts()]


def test_those_of_the_webhook_ask_for_what_it_shows() -> None:
    metrics = WebhookMetrics(CollectorRegistry())
    page = b"".join(metrics.render_parts()).decode()
    shown = {sample for sample, _ in Samples.parse(page).values}
    rules = (FOLDER / "sidecar-webhook.yaml").read_text()
    asked = set(re.findall(r"sidecar_webhook_\w+", rules))
    assert asked
    assert asked <= shown
    for values in re.findall(r'result=~?"([^"]+)"', rules):
        for value in values.split("|"):
            assert f'result="{value}"' in page


def test_a_prometheus_rule_of_the_chart_has_them_all() -> None:
    objects = manifests(values={"prometheusRule": {"enabled": True}})
    names = [
        rule["alert"]
        for each in objects
        if each["kind"] == "PrometheusRule"
        for group in each["spec"]["groups"]
        for rule in group["rules"]
    ]
    assert names == [rule["alert"] for rule in alerts()]
