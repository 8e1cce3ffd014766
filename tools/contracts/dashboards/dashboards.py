"""Both dashboards: their panels, placed on Grafana's grid."""

from collections.abc import Sequence
from typing import Any

from tools.contracts.dashboards.clinic_lead import CLINIC_LEAD_PANELS
from tools.contracts.dashboards.operations import OPERATIONS_PANELS
from tools.contracts.dashboards.panel import Panel, build_panel

GRID_COLUMNS, PANEL_ROWS = 24, 8
"""Grafana's grid has 24 columns; a row of panels is eight grid rows high."""


def build_dashboard(uid: str, title: str, description: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """The JSON document of one dashboard."""
    placed_panels, x, y = [], 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > GRID_COLUMNS:
            x, y = 0, y + PANEL_ROWS
        placed_panels.append(build_panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": PANEL_ROWS}))
        x += panel.width
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["attune"],
        "timezone": "browser",
        "schemaVersion": 41,
        "refresh": "30s",
        "editable": False,
        "time": {"from": "now-6h", "to": "now"},
        "panels": placed_panels,
    }


def build_dashboards() -> dict[str, Any]:
    """Both dashboards, by file name."""
    operations = build_dashboard(
        "attune-ops",
        "Attune: operations",
        "Throughput, latency, errors and lag of the services, Kafka and MongoDB.",
        OPERATIONS_PANELS,
    )
    clinic_lead = build_dashboard(
        "attune-clinic",
        "Attune: clinics",
        "Open episodes, alerts, how clinicians handle them, and feedback response.",
        CLINIC_LEAD_PANELS,
    )
    clinic_lead["time"]["from"] = "now-30d"
    return {"ops.json": operations, "clinic-lead.json": clinic_lead}
