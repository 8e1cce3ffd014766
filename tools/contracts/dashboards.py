"""The two Grafana dashboards: their panels and the PromQL expressions of each panel."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["short", "s", "percentunit", "ops", "reqps", "bytes", "none"]

GRID_COLUMNS, PANEL_ROWS = 24, 8
"""Grafana's grid has 24 columns; a row of panels is eight grid rows high."""


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


def _p99(metric: str, by: str, selector: str = "") -> str:
    return f"histogram_quantile(0.99, sum by ({by}le) (rate({metric}_bucket{selector}[5m])))"


OPERATIONS_PANELS = (
    Panel(
        "Firing alerts",
        {"{{alertname}} {{service}}{{group}}": 'ALERTS{alertstate="firing", alertname!="Watchdog"}'},
        "none",
        "stat",
        12,
        "Each alert has a runbook in docs/runbooks.",
        1,
    ),
    Panel("Services up", {"{{service}}": 'min by (service) (up{job="attune"})'}, "none", "stat", 12),
    Panel(
        "Consumer lag (age of the oldest message)",
        {"{{group}} from {{topic}}": "group_topic:attune_consumer_lag_seconds:max"},
        "s",
        description="Measured from Kafka, so it includes stopped consumers.",
        red_threshold=60,
    ),
    Panel("Consumer lag (messages)", {"{{group}} from {{topic}}": "group_topic:attune_consumer_lag_messages:sum"}),
    Panel("Consumer group members", {"{{group}}": "attune_consumer_members"}),
    Panel(
        "Messages published per topic", {"{{topic}}": "sum by (topic) (rate(attune_topic_messages_total[5m]))"}, "ops"
    ),
    Panel(
        "Messages consumed per service", {"{{service}}": "sum by (service) (rate(attune_messages_total[5m]))"}, "ops"
    ),
    Panel(
        "Batch size and p99 duration",
        {
            "{{service}} messages": "sum by (service) (rate(attune_batch_messages_sum[5m])) "
            "/ sum by (service) (rate(attune_batch_messages_count[5m]))",
            "{{service}} p99 ms": "1000 * " + _p99("attune_batch_seconds", "service, "),
        },
    ),
    Panel(
        "Batch retries",
        {"{{service}} {{error}}": "sum by (service, error) (rate(attune_batch_retries_total[5m]))"},
        "ops",
    ),
    Panel(
        "Open dead letters",
        {"{{service}} {{cause}}": "max by (service, cause) (attune_dead_letters_open)"},
        red_threshold=1,
    ),
    Panel(
        "Outbox: pending documents and age of the oldest",
        {
            "{{service}} documents": "max by (service) (attune_outbox_pending_documents)",
            "{{service}} seconds": "max by (service) (attune_outbox_oldest_pending_seconds)",
        },
    ),
    Panel(
        "Feedback scoring latency",
        {
            "p50": "histogram_quantile(0.5, sum by (le) (rate(attune_alliance_scoring_duration_seconds_bucket[5m])))",
            "p99": _p99("attune_alliance_scoring_duration_seconds", ""),
        },
        "s",
        description="Objective: 99.9 % within 10 s.",
        red_threshold=10,
    ),
    Panel(
        "Alert latency (feedback to inbox)",
        {"{{severity}} p99": _p99("attune_notify_alert_latency_seconds", "severity, ")},
        "s",
        description="Objective: 99 % of urgent alerts within 5 s.",
        red_threshold=5,
    ),
    Panel(
        "Objectives: share missed",
        {
            "feedback not scored within 10 s": "attune:feedback_scored_late:ratio_rate1h",
            "urgent alert not in the inbox within 5 s": "attune:urgent_alerts_late:ratio_rate1h",
        },
        "percentunit",
    ),
    Panel(
        "Alliance events, refolds and conflicts",
        {
            "{{type}}": "sum by (type) (rate(attune_alliance_events_total[5m]))",
            "refolded": "sum(rate(attune_alliance_refolds_total[5m]))",
            "conflicts": "sum(rate(attune_alliance_conflicts_total[5m]))",
        },
        "ops",
    ),
    Panel("HTTP requests", {"{{service}}": "service:attune_http_requests:rate5m"}, "reqps"),
    Panel(
        "HTTP 5xx ratio",
        {"{{service}}": "service:attune_http_errors:ratio_rate5m"},
        "percentunit",
        red_threshold=0.05,
    ),
    Panel(
        "HTTP p99 duration",
        {"{{service}} p99": "service:attune_http_request_seconds:p99_5m"},
        "s",
        red_threshold=1,
    ),
    Panel(
        "MongoDB commands",
        {"{{service}} {{command}}": "sum by (service, command) (rate(attune_mongodb_command_seconds_count[5m]))"},
        "ops",
    ),
    Panel(
        "MongoDB p99 command duration",
        {"{{service}} p99": "service:attune_mongodb_command_seconds:p99_5m"},
        "s",
        red_threshold=1,
    ),
    Panel(
        "MongoDB command errors",
        {"{{service}} {{command}}": "sum by (service, command) (rate(attune_mongodb_command_errors_total[5m]))"},
        "ops",
    ),
    Panel(
        "CPU", {"{{service}}": 'sum by (service) (rate(process_cpu_seconds_total{job="attune"}[5m]))'}, "percentunit"
    ),
    Panel("Memory", {"{{service}}": 'sum by (service) (process_resident_memory_bytes{job="attune"})'}, "bytes"),
    Panel(
        "Version and uptime",
        {
            "{{service}} {{version}}": 'time() - (process_start_time_seconds{job="attune"} '
            "* on (instance) group_left (version) attune_build_info)"
        },
        "s",
    ),
)

CLINIC_LEAD_PANELS = (
    Panel(
        "Relationships with an open episode",
        {"{{severity}}": "max by (severity) (attune_alliance_open_episodes)"},
        visualization="stat",
        description="Current total over all clinics. Only the inboxes show whose they are.",
    ),
    Panel(
        "Open alerts",
        {"{{severity}}": 'max by (severity) (attune_notify_active_alerts{status="open"})'},
        visualization="stat",
    ),
    Panel(
        "Acknowledged alerts",
        {"{{severity}}": 'max by (severity) (attune_notify_active_alerts{status="acknowledged"})'},
        visualization="stat",
    ),
    Panel(
        "Age of the oldest open alert",
        {"{{severity}}": 'max by (severity) (attune_notify_oldest_active_alert_seconds{status="open"})'},
        "s",
        "bargauge",
        red_threshold=86_400,
    ),
    Panel(
        "Time to acknowledge an alert (median)",
        {
            "{{severity}}": "histogram_quantile(0.5, sum by (severity, le) "
            "(increase(attune_notify_alert_acknowledgement_seconds_bucket[7d])))"
        },
        "s",
    ),
    Panel(
        "New alerts per week", {"{{severity}}": "sum by (severity) (increase(attune_notify_alerts_raised_total[7d]))"}
    ),
    Panel(
        "Closed alerts by outcome (per week)",
        {"{{outcome}}": "sum by (outcome) (increase(attune_notify_alerts_closed_total[7d]))"},
        visualization="bargauge",
    ),
    Panel(
        "Alerts rated useful (per week)",
        {
            "useful": 'sum(increase(attune_notify_alerts_closed_total{outcome="useful"}[7d])) '
            '/ sum(increase(attune_notify_alerts_closed_total{outcome=~"useful|not_useful"}[7d]))'
        },
        "percentunit",
        "stat",
    ),
    Panel(
        "Usefulness by detector (per month)",
        {
            "{{detector}} {{useful}}": "sum by (detector, useful) "
            "(increase(attune_alliance_alert_dispositions_total[30d]))"
        },
        visualization="bargauge",
    ),
    Panel(
        "Feedback response rate (per week)",
        {"{{rater}}": "rater:attune_sessions_feedback_response:ratio_increase7d"},
        "percentunit",
    ),
    Panel(
        "Feedback forms per day",
        {"{{rater}} {{outcome}}": "sum by (rater, outcome) (increase(attune_sessions_feedback_total[1d]))"},
    ),
    Panel(
        "Sessions per day",
        {"{{type}}": 'sum by (type) (increase(attune_sessions_events_total{type=~"clinic.session.*"}[1d]))'},
    ),
    Panel(
        "Deliveries by outcome (per day)",
        {
            "{{channel}} {{outcome}}": "sum by (channel, outcome) "
            '(increase(attune_notify_deliveries_total{outcome!="not_needed"}[1d]))'
        },
    ),
    Panel("Deliveries due", {"messages": "max(attune_notify_deliveries_due)"}, visualization="stat"),
    Panel("Open inbox streams", {"inboxes": "sum(attune_notify_inbox_streams)"}, visualization="stat"),
)


def build_dashboard(uid: str, title: str, description: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """The JSON document of one dashboard."""
    placed_panels, x, y = [], 0, 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > GRID_COLUMNS:
            x, y = 0, y + PANEL_ROWS
        placed_panels.append(_build_panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": PANEL_ROWS}))
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


def _build_panel(number: int, panel: Panel, grid_position: dict[str, int]) -> dict[str, Any]:
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
