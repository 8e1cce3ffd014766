"""The metrics of notify: which alerts are timed, and which are only counted."""

from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry

from services.notify.metrics import Metrics

NOW = datetime(2026, 11, 2, 9, tzinfo=UTC)


def create_metrics() -> tuple[Metrics, CollectorRegistry]:
    registry = CollectorRegistry()
    return Metrics(registry, lambda: NOW), registry


def test_alert_latency_is_measured_from_the_feedback_that_caused_the_alert() -> None:
    metrics, registry = create_metrics()

    metrics.count_raised("urgent", NOW - timedelta(seconds=2))

    urgent = {"severity": "urgent"}
    assert registry.get_sample_value("attune_notify_alerts_raised_total", urgent) == 1
    assert registry.get_sample_value("attune_notify_alert_latency_seconds_sum", urgent) == 2
    assert registry.get_sample_value("attune_notify_alert_latency_seconds_bucket", urgent | {"le": "5.0"}) == 1


def test_alerts_from_missing_feedback_or_from_history_are_counted_but_not_timed() -> None:
    metrics, registry = create_metrics()

    metrics.count_raised("urgent", None)
    metrics.count_raised("urgent", NOW - timedelta(days=2))

    assert registry.get_sample_value("attune_notify_alerts_raised_total", {"severity": "urgent"}) == 2
    assert registry.get_sample_value("attune_notify_alert_latency_seconds_count", {"severity": "urgent"}) == 0


def test_active_alerts_are_counted_with_the_age_of_the_oldest() -> None:
    metrics, registry = create_metrics()

    metrics.set_active_alerts({("urgent", "open"): (2, NOW - timedelta(hours=1)), ("watch", "open"): (0, None)}, NOW)

    def sample(name: str, severity: str) -> float | None:
        return registry.get_sample_value(name, {"severity": severity, "status": "open"})

    assert sample("attune_notify_active_alerts", "urgent") == 2
    assert sample("attune_notify_oldest_active_alert_seconds", "urgent") == 3600
    assert sample("attune_notify_oldest_active_alert_seconds", "watch") == 0
