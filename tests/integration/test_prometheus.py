"""A real Prometheus scrapes two sidecars: every panel has data, and alerts fire."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import pytest
import yaml

from deploy.k8s.grafana.dashboard import ROWS
from tests.integration.observed import Observed, observed
from tests.support.deadlines import eventually
from tests.support.prometheus import ALERTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.k8s.grafana.panel import Panel, Query
    from tests.support.prometheus import Series

PANELS = [panel for row in ROWS for panel in row.panels]
RULES = [
    rule
    for group in yaml.safe_load(ALERTS.read_text())["groups"]
    for rule in group["rules"]
]
EXPRESSIONS = [query.expr for panel in PANELS for query in panel.queries] + [
    rule["expr"] for rule in RULES
]
FIRE = {
    "SidecarAdditionalCertificateNearItsEnd",
    "SidecarHandshakesFailing",
    "SidecarNewPeerDenied",
    "SidecarPeerNotTrusted",
    "SidecarPlaintextCarried",
    "SidecarPlaintextRefused",
    "SidecarReloadFailing",
    "SidecarWorkerCrashed",
}
TARGET = {"job", "instance", "namespace", "pod", "node"}
"""Labels that Prometheus puts to everything it scrapes, by scrape.yaml."""

VARIABLES = {"$namespace": ".*", "$pod": ".*", "$__rate_interval": "1m"}
SELECTOR = re.compile(r"\b(sidecar_\w+|process_\w+|up)\b(?:\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)(=~|!=|!~|=)"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|without) \(([^)]*)\)")


def filled_in(expr: str) -> str:
    """What Grafana asks, when everything is chosen."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    assert "$" not in expr
    return expr


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    with observed(tmp_path_factory.mktemp("observed")) as stage:
        stage.everything()
        yield stage


def numbers(result: list[Series]) -> list[float]:
    values = [float(series["value"][1]) for series in result]
    return [value for value in values if math.isfinite(value)]


def answer(stage: Observed, query: Query) -> list[Series]:
    """Give what Prometheus answers, as soon as there is a number in it."""

    def result() -> list[Series] | None:
        found = stage.prometheus.query(filled_in(query.expr))
        return found if numbers(found) else None

    return eventually(result, f"an answer to {query.expr}", 20)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.title)
def test_every_panel_has_data_and_a_name_for_it(stage: Observed, panel: Panel) -> None:
    for query in panel.queries:
        for series in answer(stage, query):
            wanted = set(re.findall(r"{{(\w+)}}", query.legend))
            assert wanted <= series["metric"].keys()


@pytest.mark.parametrize("panel", ROWS[0].panels, ids=lambda panel: panel.title)
def test_the_large_numbers_count_what_has_happened(
    stage: Observed, panel: Panel
) -> None:
    (query,) = panel.queries
    (number,) = numbers(answer(stage, query))
    assert number > 0
    if panel.title == "Sidecars":
        assert number == 2


def test_only_pods_that_ask_for_it_are_scraped_and_they_bear_their_names(
    stage: Observed,
) -> None:
    found = [series["metric"] for series in stage.prometheus.query("up")]
    assert {each["pod"]: each["instance"] for each in found} == {
        "api-7d9f": stage.api.configuration["telemetry"]["listen"],
        "frontend-5c4b": stage.frontend.configuration["telemetry"]["listen"],
    }
    for each in found:
        assert each.keys() == {"__name__", *TARGET}


def test_what_is_asked_for_is_what_sidecars_show(stage: Observed) -> None:
    """No query names a metric, a label or a value that does not exist."""
    shown: dict[str, dict[str, set[str]]] = {"up": {}}
    for sidecar in (stage.api, stage.frontend):
        for name, labelled in sidecar.metrics().values:
            values = shown.setdefault(name, {})
            for label, value in labelled:
                values.setdefault(label, set()).add(value)
    for expr in EXPRESSIONS:
        named = SELECTOR.findall(expr)
        assert named, expr
        for metric, matchers in named:
            assert metric in shown, expr
            for label, operator, value in MATCHER.findall(matchers):
                assert label in shown[metric] or label in TARGET, (metric, label)
                if label in TARGET:
                    continue
                asked = value.split("|") if "~" in operator else [value]
                assert set(asked) <= shown[metric][label], (metric, asked)
        labels = {label for metric, _ in named for label in shown[metric]} | TARGET
        for grouping in GROUPING.findall(expr):
            assert set(grouping.split(", ")) <= labels, expr


def test_alerts_fire_for_what_has_happened_and_for_nothing_else(
    stage: Observed,
) -> None:
    eventually(
        lambda: stage.prometheus.firing() == FIRE,
        f"{sorted(FIRE)} fire, and no other",
        20,
    )
    rules = stage.prometheus.rules()
    assert {rule["name"] for rule in rules} == {rule["alert"] for rule in RULES}
    for rule in rules:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", "")
        for alert in rule["alerts"]:
            for words in alert["annotations"].values():
                assert "<" not in words  # <no value>, <error expanding template>
                assert "{{" not in words


def test_the_least_frequent_is_seen_the_first_time(stage: Observed) -> None:
    """A peer's series begins with its first denial, which is no increase."""
    (alert,) = eventually(
        lambda: [
            alert
            for rule in stage.prometheus.rules()
            if rule["name"] == "SidecarNewPeerDenied"
            for alert in rule["alerts"]
        ],
        "the peer that was denied once is named",
    )
    assert alert["labels"]["peer"] == "spiffe://example.org/ns/crm/sa/reports"
    assert float(alert["value"]) == 1


def test_one_that_is_down_is_missed(stage: Observed) -> None:
    """Last in this file: the frontend is gone after it."""
    stage.kept.close()
    assert stage.frontend.stop() == 0
    eventually(
        lambda: "SidecarDown" in stage.prometheus.firing(), "SidecarDown fires", 20
    )
    (down,) = [
        alert
        for rule in stage.prometheus.rules()
        if rule["name"] == "SidecarDown"
        for alert in rule["alerts"]
    ]
    assert down["labels"]["pod"] == "frontend-5c4b"
