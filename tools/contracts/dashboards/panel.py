"""One panel of a dashboard, and its JSON."""

from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["short", "s", "percentunit", "ops", "reqps", "bytes", "none"]


@dataclass(frozen=True)
class Panel:
    """One panel of a dashboard."""

    title: str
    expressions: dict[str, str]
    """PromQL expressions by the legend of their series."""
    unit: Unit = "short"
    visualization: Literal["timeseries", "stat", "bargauge"] = "timeseries"
    width: int = 8
    description: str = ""
    red_threshold: float | None = None


def build_panel(number: int, panel: Panel, grid_position: dict[str, int]) -> dict[str, Any]:
    """The JSON of a panel at this position."""
    threshold_steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red_threshold is not None:
        threshold_steps.append({"color": "red", "value": panel.red_threshold})
    return {
        "id": number,
        "type": panel.visualization,
        "title": panel.title,
        "description": panel.description,
        "gridPos": grid_position,
        "datasource": {"type": "prometheus", "uid": "prometheus"},
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": threshold_steps}},
            "overrides": [],
        },
        "options": {"legend": {"showLegend": True, "placement": "bottom"}}
        if panel.visualization == "timeseries"
        else {},
        "targets": [
            {"refId": chr(ord("A") + index), "expr": expression, "legendFormat": legend}
            for index, (legend, expression) in enumerate(panel.expressions.items())
        ],
    }
