"""This module builds the JSON of a Grafana dashboard from the list of panels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cj_pipeline.reports.observability.panel import Panel
from cj_pipeline.reports.observability.panels import ROWS

# Of the JSON model; Grafana 10 and 11 read it, and bring older ones up to their own.
SCHEMA_VERSION = 39
UID = "cj-pipeline"
COLUMNS = 24
WINDOWS = ("1m", "5m", "15m", "1h", "6h", "24h")
DEFAULT_WINDOW = "5m"

NONE = "No data means that there was none."

_HEIGHT = 8
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, Any]:
    """Return the dashboard as Grafana imports it. Its data source and window are variables that the reader chooses."""
    return {
        "uid": UID,
        "title": "CJ Pipeline: LPS and CJ service",
        "description": "What is new within the window that is chosen above; docs/observability.md explains how.",
        "tags": ["cj-pipeline"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [_datasource_variable(), _window_variable()]},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in ROWS:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
            "panels": [],
        }
        top, left = top + 1, 0
        for panel in row.panels:
            number += 1
            if left + panel.width > COLUMNS:
                top, left = top + _HEIGHT, 0
            yield _panel(panel, number, {"x": left, "y": top, "w": panel.width, "h": _HEIGHT})
            left += panel.width
        top += _HEIGHT


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.trouble:
        defaults["noValue"] = "none"
    if panel.unit == "short":
        defaults["decimals"] = 0  # increase() makes 5.16 of 5
    options: dict[str, Any]
    if panel.kind == "timeseries":
        options = {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        }
        defaults["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "auto", "spanNulls": False}
    else:
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}
        options |= {"orientation": "horizontal"} if panel.kind == "bargauge" else {"textMode": "value_and_name"}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": f"{panel.asks} {NONE}" if panel.trouble else panel.asks,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + position),
                "datasource": _SOURCE,
                "editorMode": "code",
                "expr": query.expr,
                "legendFormat": query.legend,
                "range": panel.kind == "timeseries",
                "instant": panel.kind != "timeseries",
            }
            for position, query in enumerate(panel.queries)
        ],
    }


def _datasource_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "refresh": 1}


def _window_variable() -> dict[str, Any]:
    return {
        "name": "window",
        "label": "New within",
        "type": "custom",
        "query": ",".join(WINDOWS),
        "current": {"text": DEFAULT_WINDOW, "value": DEFAULT_WINDOW, "selected": True},
        "options": [{"text": each, "value": each, "selected": each == DEFAULT_WINDOW} for each in WINDOWS],
        "multi": False,
        "includeAll": False,
    }
