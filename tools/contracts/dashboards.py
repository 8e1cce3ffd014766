"""The two dashboards as questions, each with the expressions that answer it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Unit = Literal["short", "s", "percentunit", "ops", "reqps", "bytes", "none"]

GRID_COLUMNS, PANEL_ROWS = 24, 8
"""Grafana's grid is 24 columns; a row of panels is eight of its lines."""


@dataclass(frozen=True)
class Panel:
    """One question."""

    title: str
    expressions: dict[str, str]
    """By the legend of what each gives."""
    unit: Unit = "short"
    visualization: Literal["timeseries", "stat", "bargauge"] = "timeseries"
    width: int = 8
    description: str = ""
    red_threshold: float | None = None


def _p99(metric: str, by: str, selector: str = "") -> str:
    return f"histogram_quantile(0.99, sum by ({by}le) (rate({metric}_bucket{selector}[5m])))"


OPERATIONS_PANELS = (
    Panel(
        "What fires now",
        {"{{alertname}} {{service}}{{group}}": 'ALERTS{alertstate="firing", alertname!="Watchdog"}'},
        "none",
        "stat",
        12,
        "Each alert has a runbook in docs/runbooks.",
        1,
    ),
    Panel("Does everybody answer?", {"{{service}}": 'min by (service) (up{job="attune"})'}, "none", "stat", 12),
    Panel(
        "How old is what a consumer has not taken?",
        {"{{group}} from {{topic}}": "group_topic:attune_consumer_lag_seconds:max"},
        "s",
        description="Asked of Kafka; also of a dead consumer.",
        red_threshold=60,
    ),
    Panel("How much is it?", {"{{group}} from {{topic}}": "group_topic:attune_consumer_lag_messages:sum"}),
    Panel("How many share the work?", {"{{group}}": "attune_consumer_members"}),
    Panel("What is told", {"{{topic}}": "sum by (topic) (rate(attune_topic_messages_total[5m]))"}, "ops"),
    Panel("What is taken", {"{{service}}": "sum by (service) (rate(attune_messages_total[5m]))"}, "ops"),
    Panel(
        "How large are batches, how long do they take?",
        {
            "{{service}} messages": "sum by (service) (rate(attune_batch_messages_sum[5m])) "
            "/ sum by (service) (rate(attune_batch_messages_count[5m]))",
            "{{service}} p99 ms": "1000 * " + _p99("attune_batch_seconds", "service, "),
        },
    ),
    Panel(
        "Is a batch tried again?",
        {"{{service}} {{error}}": "sum by (service, error) (rate(attune_batch_retries_total[5m]))"},
        "ops",
    ),
    Panel(
        "What was set aside and waits for a person",
        {"{{service}} {{cause}}": "max by (service, cause) (attune_dead_letters_open)"},
        red_threshold=1,
    ),
    Panel(
        "What is acknowledged and not told yet",
        {
            "{{service}} documents": "max by (service) (attune_owed_documents)",
            "{{service}} seconds": "max by (service) (attune_owed_oldest_seconds)",
        },
    ),
    Panel(
        "From an answer's 2xx to its score",
        {
            "p50": "histogram_quantile(0.5, sum by (le) (rate(attune_alliance_scored_seconds_bucket[5m])))",
            "p99": _p99("attune_alliance_scored_seconds", ""),
        },
        "s",
        description="Promised: 99.9 % within 10 s.",
        red_threshold=10,
    ),
    Panel(
        "From an answer's 2xx to its alert in the inbox",
        {"{{severity}} p99": _p99("attune_notify_raised_seconds", "severity, ")},
        "s",
        description="Promised: 99 % of urgent ones within 5 s.",
        red_threshold=5,
    ),
    Panel(
        "What of the promises is broken",
        {
            "not scored in 10 s": "attune:feedback_scored_late:ratio_rate1h",
            "urgent not in 5 s": "attune:urgent_alerts_late:ratio_rate1h",
        },
        "percentunit",
    ),
    Panel(
        "What becomes of facts",
        {
            "{{type}}": "sum by (type) (rate(attune_alliance_facts_total[5m]))",
            "read again": "sum(rate(attune_alliance_refolds_total[5m]))",
            "overtaken": "sum(rate(attune_alliance_conflicts_total[5m]))",
        },
        "ops",
    ),
    Panel("What is asked of us", {"{{service}}": "service:attune_http_requests:rate5m"}, "reqps"),
    Panel(
        "What share is our error?",
        {"{{service}}": "service:attune_http_errors:ratio_rate5m"},
        "percentunit",
        red_threshold=0.05,
    ),
    Panel(
        "How long does it take?",
        {"{{service}} p99": "service:attune_http_request_seconds:p99_5m"},
        "s",
        red_threshold=1,
    ),
    Panel(
        "What we ask of MongoDB",
        {"{{service}} {{command}}": "sum by (service, command) (rate(attune_mongodb_command_seconds_count[5m]))"},
        "ops",
    ),
    Panel(
        "How long does it take?",
        {"{{service}} p99": "service:attune_mongodb_command_seconds:p99_5m"},
        "s",
        red_threshold=1,
    ),
    Panel(
        "What does it refuse?",
        {"{{service}} {{command}}": "sum by (service, command) (rate(attune_mongodb_command_errors_total[5m]))"},
        "ops",
    ),
    Panel(
        "CPU", {"{{service}}": 'sum by (service) (rate(process_cpu_seconds_total{job="attune"}[5m]))'}, "percentunit"
    ),
    Panel("Memory", {"{{service}}": 'sum by (service) (process_resident_memory_bytes{job="attune"})'}, "bytes"),
    Panel(
        "Which build, since when",
        {
            "{{service}} {{version}}": 'time() - (process_start_time_seconds{job="attune"} '
            "* on (instance) group_left (version) attune_build_info)"
        },
        "s",
    ),
)

CLINIC_LEAD_PANELS = (
    Panel(
        "Relationships that show signs of rupture",
        {"{{severity}}": "max by (severity) (attune_alliance_open_episodes)"},
        visualization="stat",
        description="Now, in all clinics together. Whose they are stands in the inboxes, and nowhere here.",
    ),
    Panel(
        "Alerts that wait for somebody",
        {"{{severity}}": 'max by (severity) (attune_notify_alerts_waiting{status="open"})'},
        visualization="stat",
    ),
    Panel(
        "Alerts that somebody has taken on",
        {"{{severity}}": 'max by (severity) (attune_notify_alerts_waiting{status="acknowledged"})'},
        visualization="stat",
    ),
    Panel(
        "For how long has the oldest waited?",
        {"{{severity}}": 'max by (severity) (attune_notify_alerts_oldest_seconds{status="open"})'},
        "s",
        "bargauge",
        red_threshold=86_400,
    ),
    Panel(
        "How soon is an alert taken on? (half of them)",
        {
            "{{severity}}": "histogram_quantile(0.5, sum by (severity, le) "
            "(increase(attune_notify_acknowledged_seconds_bucket[7d])))"
        },
        "s",
    ),
    Panel("New alerts a week", {"{{severity}}": "sum by (severity) (increase(attune_notify_alerts_raised_total[7d]))"}),
    Panel(
        "How do alerts end? (a week)",
        {"{{outcome}}": "sum by (outcome) (increase(attune_notify_alerts_settled_total[7d]))"},
        visualization="bargauge",
    ),
    Panel(
        "Were they worth the interruption? (a week)",
        {
            "useful": 'sum(increase(attune_notify_alerts_settled_total{outcome="useful"}[7d])) '
            '/ sum(increase(attune_notify_alerts_settled_total{outcome=~"useful|not_useful"}[7d]))'
        },
        "percentunit",
        "stat",
    ),
    Panel(
        "Which signs were worth it? (a month)",
        {"{{detector}} {{useful}}": "sum by (detector, useful) (increase(attune_alliance_judged_alerts_total[30d]))"},
        visualization="bargauge",
    ),
    Panel(
        "How many answer when they are asked? (a week)",
        {"{{rater}}": "rater:attune_sessions_feedback_response:ratio_increase7d"},
        "percentunit",
    ),
    Panel(
        "Forms a day",
        {"{{rater}} {{outcome}}": "sum by (rater, outcome) (increase(attune_sessions_feedback_total[1d]))"},
    ),
    Panel(
        "Sessions a day",
        {"{{type}}": 'sum by (type) (increase(attune_sessions_events_total{type=~"clinic.session.*"}[1d]))'},
    ),
    Panel(
        "Are clinicians told? (a day)",
        {
            "{{channel}} {{outcome}}": "sum by (channel, outcome) "
            '(increase(attune_notify_deliveries_total{outcome!="not_needed"}[1d]))'
        },
    ),
    Panel("Messages that still wait", {"messages": "max(attune_notify_deliveries_due)"}, visualization="stat"),
    Panel("Inboxes that are open now", {"inboxes": "sum(attune_notify_inbox_streams)"}, visualization="stat"),
)


def build_dashboard(uid: str, title: str, description: str, panels: Sequence[Panel]) -> dict[str, Any]:
    """One dashboard as Grafana keeps it."""
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
    """Both, by the file that they are kept in."""
    operations = build_dashboard(
        "attune-ops", "Attune: operations", "Does everything that is told get through, and how soon?", OPERATIONS_PANELS
    )
    clinic_lead = build_dashboard(
        "attune-clinic", "Attune: clinics", "Are signs of rupture seen, and does somebody act?", CLINIC_LEAD_PANELS
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
