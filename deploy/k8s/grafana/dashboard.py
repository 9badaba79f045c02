"""Print the dashboard: its panels, in Grafana's JSON.

`scripts/chart` calls this, and writes dashboards/sidecar.json with it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from deploy.k8s.grafana.processes import PROCESSES
from deploy.k8s.grafana.traffic import CONNECTIONS, HANDSHAKES, NOW
from deploy.k8s.grafana.trust import IDENTITY, POLICY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.k8s.grafana.panel import Panel, Query

ROWS: Final = (NOW, CONNECTIONS, HANDSHAKES, POLICY, IDENTITY, PROCESSES)

SCHEMA_VERSION: Final = 38
"""Of Grafana 10; 11 and 12 take it as it is."""

_COLUMNS: Final = 24
_HEIGHT: Final = {"stat": 4, "timeseries": 8, "table": 8}
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_RED_GREEN: Final = ("green", "red")


def dashboard() -> dict[str, Any]:
    """Give the dashboard as Grafana imports it."""
    return {
        "uid": "sidecar-mesh",
        "title": "Sidecar mesh",
        "description": "Per-pod mTLS: connections, handshakes, policy, certificates.",
        "tags": ["sidecar", "mtls"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": _variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_panels()),
    }


def text() -> str:
    """Give the file."""
    return json.dumps(dashboard(), indent=1) + "\n"


def _variables() -> list[dict[str, Any]]:
    source = {"name": "datasource", "label": "Data source", "type": "datasource"}
    return [
        {**source, "query": "prometheus", "hide": 0, "refresh": 1, "regex": ""},
        _variable("namespace", "label_values(sidecar_build_info, namespace)"),
        _variable(
            "pod", 'label_values(sidecar_build_info{namespace=~"$namespace"}, pod)'
        ),
    ]


def _variable(name: str, query: str) -> dict[str, Any]:
    everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": _SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Also where targets have no such label.
        "allValue": ".*",
        "current": everything,
        "hide": 0,
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = y = 0
    for row in ROWS:
        number += 1
        place = {"x": 0, "y": y, "w": _COLUMNS, "h": 1}
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": place,
            "panels": [],
        }
        x, y = 0, y + 1
        for panel in row.panels:
            height = _HEIGHT[panel.kind]
            if x + panel.width > _COLUMNS:
                x, y = 0, y + height
            number += 1
            place = {"x": x, "y": y, "w": panel.width, "h": height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            x += panel.width
        y += _HEIGHT[row.panels[-1].kind]


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": _SOURCE,
        "targets": [_target(panel, n, each) for n, each in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
        **({"transformations": _TABLE} if panel.kind == "table" else {}),
    }


# The time of an instant query says nothing, and its number is called "Value".
_TABLE: Final = [
    {
        "id": "organize",
        "options": {
            "excludeByName": {"Time": True},
            "renameByName": {"Value": "connections"},
        },
    }
]


def _target(panel: Panel, number: int, query: Query) -> dict[str, Any]:
    instant = panel.kind == "table"
    return {
        "refId": chr(ord("A") + number),
        "datasource": _SOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": instant,
        "range": not instant,
        "format": "table" if instant else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        defaults["custom"] = {
            "drawStyle": "line",
            "fillOpacity": 25 if panel.stacked else 5,
            "lineWidth": 1,
            "showPoints": "never",
            "stacking": {
                "group": "A",
                "mode": "normal" if panel.stacked else "none",
            },
        }
    if panel.alarm is not None:
        below, above = reversed(_RED_GREEN) if panel.low_is_bad else _RED_GREEN
        steps = [
            {"color": below, "value": None},
            {"color": above, "value": panel.alarm},
        ]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    return defaults


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        return {
            "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
            "colorMode": "none" if panel.alarm is None else "value",
            "graphMode": "area",
        }
    if panel.kind == "table":
        return {"showHeader": True, "footer": {"show": False}}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


if __name__ == "__main__":
    print(text(), end="")
