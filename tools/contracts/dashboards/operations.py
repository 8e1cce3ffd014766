"""The panels of the dashboard for operations."""

from tools.contracts.dashboards.panel import Panel


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
