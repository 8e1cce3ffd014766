"""The panels of the dashboard for the lead of a clinic."""

from tools.contracts.dashboards.panel import Panel

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
