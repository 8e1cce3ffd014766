"""Every metric of the notify service."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.notify.domain.alert import Status
from services.notify.domain.routing import ChannelName
from shared.events import Severity
from shared.runtime.clock import now

DeliveryOutcome = Literal["sent", "refused", "failed", "retried", "unsure", "not_needed"]
CloseOutcome = Literal["useful", "not_useful", "not_stated", "repaired", "retracted"]

MAX_LIVE_AGE = timedelta(days=1)
"""Older feedback is replayed history, or late feedback that other alerts already cover: it is not timed."""
HOUR_SECONDS = 3600.0


class Metrics:
    """The metrics of alerts, deliveries and inbox streams."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._raised = Counter(
            "attune_notify_alerts_raised",
            "Alerts raised, counted once for each severity that an alert reached.",
            ["severity"],
            registry=registry,
        )
        self._alert_latency_seconds = Histogram(
            "attune_notify_alert_latency_seconds",
            "Time from acknowledging feedback to its sender until the resulting alert was in the inbox. "
            "Excludes alerts caused by missing feedback and by feedback older than one day.",
            ["severity"],
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, HOUR_SECONDS),
            registry=registry,
        )
        self._acknowledgement_seconds = Histogram(
            "attune_notify_alert_acknowledgement_seconds",
            "Time from the sign that set the severity of an alert until the clinician acknowledged it.",
            ["severity"],
            buckets=(
                300,
                900,
                HOUR_SECONDS,
                4 * HOUR_SECONDS,
                8 * HOUR_SECONDS,
                24 * HOUR_SECONDS,
                48 * HOUR_SECONDS,
                96 * HOUR_SECONDS,
                168 * HOUR_SECONDS,
            ),
            registry=registry,
        )
        self._closed = Counter(
            "attune_notify_alerts_closed",
            "Alerts closed: resolved by the clinician as useful, not_useful or not_stated, or closed by a repair or "
            "retraction of the episode.",
            ["severity", "outcome"],
            registry=registry,
        )
        self._active_alerts = Gauge(
            "attune_notify_active_alerts",
            "Alerts that are open, or acknowledged and not resolved. Every process reports the same value.",
            ["severity", "status"],
            registry=registry,
        )
        self._oldest_active_seconds = Gauge(
            "attune_notify_oldest_active_alert_seconds",
            "Age of the oldest last sign among active alerts; 0 when there is none.",
            ["severity", "status"],
            registry=registry,
        )
        self._conflicts = Counter(
            "attune_notify_conflicts",
            "Documents changed concurrently by another writer; they were loaded and saved again.",
            registry=registry,
        )
        self._deliveries = Counter(
            "attune_notify_deliveries",
            "Deliveries by outcome. sent: accepted. refused: the receiver rejected the address permanently. "
            "failed: given up. retried: one failed attempt. unsure: the response was lost, so the message may have "
            "arrived. not_needed: cancelled because the alert no longer needs a message.",
            ["channel", "outcome"],
            registry=registry,
        )
        self._attempt_seconds = Histogram(
            "attune_notify_delivery_attempt_seconds",
            "Duration of one delivery attempt.",
            ["channel"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90, 240),
            registry=registry,
        )
        self._delivery_wait_seconds = Histogram(
            "attune_notify_delivery_wait_seconds",
            "Time from planning a delivery to its acceptance by the receiver.",
            ["channel"],
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800, HOUR_SECONDS, 4 * HOUR_SECONDS, 24 * HOUR_SECONDS),
            registry=registry,
        )
        self._deliveries_due = Gauge(
            "attune_notify_deliveries_due",
            "Deliveries not yet completed. Every process reports the same value.",
            registry=registry,
        )
        self._oldest_due_seconds = Gauge(
            "attune_notify_oldest_due_delivery_seconds",
            "Age of the oldest delivery not yet completed; 0 when there is none.",
            registry=registry,
        )
        self.open_streams = Gauge("attune_notify_inbox_streams", "Open inbox event streams.", registry=registry)
        self._init_series()

    def _init_series(self) -> None:
        """Every series exists from the start, so that the first event of a kind shows as an increase."""
        for severity in get_args(Severity):
            self._raised.labels(severity)
            self._alert_latency_seconds.labels(severity)
            self._acknowledgement_seconds.labels(severity)
            for close_outcome in get_args(CloseOutcome):
                self._closed.labels(severity, close_outcome)
        for channel in get_args(ChannelName):
            self._attempt_seconds.labels(channel)
            self._delivery_wait_seconds.labels(channel)
            for outcome in get_args(DeliveryOutcome):
                self._deliveries.labels(channel, outcome)

    def count_raised(self, severity: Severity, recorded_at: datetime | None) -> None:
        self._raised.labels(severity).inc()
        if recorded_at is not None and (latency := self._clock() - recorded_at) < MAX_LIVE_AGE:
            self._alert_latency_seconds.labels(severity).observe(max(0.0, latency.total_seconds()))

    def observe_acknowledgement(self, severity: Severity, latency: timedelta) -> None:
        self._acknowledgement_seconds.labels(severity).observe(max(0.0, latency.total_seconds()))

    def count_closed(self, severity: Severity, status: Status) -> None:
        """Count an alert closed by its episode; any status but repaired or retracted is not counted."""
        if status in ("repaired", "retracted"):
            self._closed.labels(severity, status).inc()

    def count_resolved(self, severity: Severity, useful: bool | None) -> None:
        outcome: CloseOutcome = "not_stated" if useful is None else "useful" if useful else "not_useful"
        self._closed.labels(severity, outcome).inc()

    def set_active_alerts(
        self, counts: Mapping[tuple[Severity, Status], tuple[int, datetime | None]], measured_at: datetime
    ) -> None:
        for (severity, status), (count, since) in counts.items():
            self._active_alerts.labels(severity, status).set(count)
            self._oldest_active_seconds.labels(severity, status).set(_age_seconds(since, measured_at))

    def set_due_deliveries(self, count: int, since: datetime | None, measured_at: datetime) -> None:
        self._deliveries_due.set(count)
        self._oldest_due_seconds.set(_age_seconds(since, measured_at))

    def count_conflicts(self, count: int) -> None:
        self._conflicts.inc(count)

    def count_attempt(self, channel: ChannelName, outcome: DeliveryOutcome, seconds: float) -> None:
        self._deliveries.labels(channel, outcome).inc()
        if outcome != "not_needed":
            self._attempt_seconds.labels(channel).observe(seconds)

    def observe_wait(self, channel: ChannelName, seconds: float) -> None:
        self._delivery_wait_seconds.labels(channel).observe(max(0.0, seconds))


def _age_seconds(since: datetime | None, measured_at: datetime) -> float:
    return 0.0 if since is None else max(0.0, (measured_at - since).total_seconds())
