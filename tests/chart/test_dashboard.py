"""The Grafana dashboard as a file; what its queries give, tests/integration says."""

from __future__ import annotations

import itertools
import json
import re
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from deploy.k8s.grafana.dashboard import dashboard, text
from tests.support.helm import CHART, helm, manifests
from tests.support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FILE = CHART / "files" / "dashboards" / "sidecar.json"
BOARD: dict[str, Any] = json.loads(FILE.read_text())
PANELS: list[dict[str, Any]] = [
    panel for panel in BOARD["panels"] if panel["type"] != "row"
]


def test_the_file_is_what_the_panels_say() -> None:
    assert FILE.read_text() == text(), "scripts/chart writes it anew"
    assert dashboard() == BOARD


def test_grafana_10_and_11_know_its_schema() -> None:
    assert BOARD["schemaVersion"] == 38
    assert re.fullmatch(r"[a-z0-9-]{1,40}", BOARD["uid"])
    assert {panel["type"] for panel in BOARD["panels"]} <= {
        "row",
        "stat",
        "table",
        "timeseries",
    }


def test_every_panel_has_an_identity_and_a_place_of_its_own() -> None:
    ids = [panel["id"] for panel in BOARD["panels"]]
    assert len(set(ids)) == len(ids)
    for panel in BOARD["panels"]:
        place = panel["gridPos"]
        assert 0 <= place["x"] < place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(BOARD["panels"], 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one, other)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    return all(
        one[start] < other[start] + other[size]
        and other[start] < one[start] + one[size]
        for start, size in (("x", "w"), ("y", "h"))
    )


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_every_query_asks_the_chosen_source_about_the_chosen_pods(
    panel: dict[str, Any],
) -> None:
    assert panel["description"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    refs = [target["refId"] for target in panel["targets"]]
    assert refs
    assert len(set(refs)) == len(refs)
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        selectors = re.findall(r"\{([^{}]*)\}", target["expr"])
        assert selectors
        for selector in selectors:
            assert 'namespace=~"$namespace", pod=~"$pod"' in selector


def test_every_variable_that_is_used_is_there() -> None:
    defined = {variable["name"] for variable in BOARD["templating"]["list"]}
    used = set(re.findall(r"\$\{?(\w+)", FILE.read_text())) - {"__rate_interval"}
    assert used - {"__all"} == defined == {"datasource", "namespace", "pod"}


def test_the_chart_brings_it_to_grafana_as_it_is() -> None:
    (found,) = [each["data"] for each in manifests() if "sidecar.json" in str(each)]
    assert json.loads(found["sidecar.json"]) == BOARD


def test_the_picture_in_the_documentation_is_small() -> None:
    picture = FILE.with_suffix(".png")
    assert picture.read_bytes().startswith(b"\x89PNG\r\n")
    assert picture.stat().st_size < 150_000
    page = (ROOT / "deploy" / "k8s" / "observability.md").read_text()
    assert "(dashboards/sidecar.png)" in page


def test_the_package_of_the_chart_has_the_dashboard_and_the_alerts_alone(
    tmp_path: Path,
) -> None:
    packed = helm("package", CHART, "--destination", tmp_path)
    assert packed.returncode == 0, packed.stderr
    (package,) = tmp_path.glob("*.tgz")
    with tarfile.open(package) as chart:
        names = {name for name in chart.getnames() if "/files/" in name}
    assert names == {
        f"sidecar/files/{name}"
        for name in (
            "alerts/sidecar-pods.yaml",
            "alerts/sidecar-webhook.yaml",
            "dashboards/sidecar.json",
        )
    }
