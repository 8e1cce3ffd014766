"""Every metric of the notify service."""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Literal, get_args

from prometheus_client import CollectorRegistry

from services.notify.domain.alert import Status
from services.notify.domain.routing import ChannelName, DeliveryOutcome
from shared.events import Severity
from shared.runtime.clock import now
from shared.runtime.metric_specs import CounterSpec, GaugeSpec, HistogramSpec

CloseOutcome = Literal["useful", "not_useful", "not_stated", "repaired", "retracted", "ended"]
RemovedKind = Literal["alert", "delivery"]
StreamLimit = Literal["inbox", "process"]

MAX_LIVE_AGE = timedelta(days=1)
"""Older feedback is replayed history, or late feedback that other alerts already cover: it is not timed."""
HOUR_SECONDS = 3600.0


ALERTS_RAISED = CounterSpec(
    "attune_notify_alerts_raised",
    "Alerts raised, counted once for each severity that an alert reached.",
    {"severity": get_args(Severity)},
)
ALERT_LATENCY_SECONDS = HistogramSpec(
    "attune_notify_alert_latency_seconds",
    "Time from acknowledging feedback to its sender until the resulting alert was in the inbox. "
    "Excludes alerts caused by missing feedback and by feedback older than one day.",
    {"severity": get_args(Severity)},
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, HOUR_SECONDS),
)
ALERT_ACKNOWLEDGEMENT_SECONDS = HistogramSpec(
    "attune_notify_alert_acknowledgement_seconds",
    "Time from the sign that set the severity of an alert until the clinician acknowledged it.",
    {"severity": get_args(Severity)},
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
)
ALERTS_CLOSED = CounterSpec(
    "attune_notify_alerts_closed",
    "Alerts closed: resolved by the clinician as useful, not_useful or not_stated, or closed by a repair, a "
    "retraction or another end of the episode. An alert that is reopened and closed again counts twice.",
    {"severity": get_args(Severity), "outcome": get_args(CloseOutcome)},
)
ACTIVE_ALERTS = GaugeSpec(
    "attune_notify_active_alerts",
    "Alerts that are open, or acknowledged and not resolved. Every process reports the same value.",
    {"severity": None, "status": None},
)
OLDEST_ACTIVE_ALERT_SECONDS = GaugeSpec(
    "attune_notify_oldest_active_alert_seconds",
    "Age of the oldest last sign among active alerts; 0 when there is none.",
    {"severity": None, "status": None},
)
CONFLICTS = CounterSpec(
    "attune_notify_conflicts", "Documents changed concurrently by another writer; they were loaded and saved again."
)
DELIVERIES = CounterSpec(
    "attune_notify_deliveries",
    "Deliveries by outcome. sent: accepted. rejected: the receiver rejected the address permanently. "
    "failed: given up. retried: one failed attempt. unknown: the response was lost, so the message may have "
    "arrived. not_needed: cancelled because the alert no longer needs a message.",
    {"channel": get_args(ChannelName), "outcome": get_args(DeliveryOutcome)},
)
DELIVERY_ATTEMPT_SECONDS = HistogramSpec(
    "attune_notify_delivery_attempt_seconds",
    "Duration of one delivery attempt.",
    {"channel": get_args(ChannelName)},
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90, 300, 900, HOUR_SECONDS),
)
DELIVERY_WAIT_SECONDS = HistogramSpec(
    "attune_notify_delivery_wait_seconds",
    "Time from planning a delivery to its acceptance by the receiver.",
    {"channel": get_args(ChannelName)},
    buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800, HOUR_SECONDS, 4 * HOUR_SECONDS, 24 * HOUR_SECONDS),
)
DELIVERIES_DUE = GaugeSpec(
    "attune_notify_deliveries_due", "Deliveries not yet completed. Every process reports the same value."
)
OLDEST_DUE_DELIVERY_SECONDS = GaugeSpec(
    "attune_notify_oldest_due_delivery_seconds", "Age of the oldest delivery not yet completed; 0 when there is none."
)
UNKNOWN_CLINICS = GaugeSpec(
    "attune_notify_unknown_clinics",
    "Relationships, clinicians and alerts whose clinic is not known yet, so that no request sees them. "
    "Every process reports the same value.",
)
REMOVED = CounterSpec(
    "attune_notify_removed",
    "Closed alerts and completed deliveries that were removed because they were past their retention.",
    {"kind": get_args(RemovedKind)},
)
INBOX_STREAMS = GaugeSpec("attune_notify_inbox_streams", "Open inbox event streams.")
INBOX_STREAMS_REFUSED = CounterSpec(
    "attune_notify_inbox_streams_refused",
    "Inbox event streams that were refused because too many are open: of that inbox, or in that process.",
    {"limit": get_args(StreamLimit)},
)


class Metrics:
    """The metrics of alerts, deliveries and inbox streams."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._raised = ALERTS_RAISED.create(registry)
        self._alert_latency_seconds = ALERT_LATENCY_SECONDS.create(registry)
        self._acknowledgement_seconds = ALERT_ACKNOWLEDGEMENT_SECONDS.create(registry)
        self._closed = ALERTS_CLOSED.create(registry)
        self._active_alerts = ACTIVE_ALERTS.create(registry)
        self._oldest_active_seconds = OLDEST_ACTIVE_ALERT_SECONDS.create(registry)
        self._conflicts = CONFLICTS.create(registry)
        self._deliveries = DELIVERIES.create(registry)
        self._attempt_seconds = DELIVERY_ATTEMPT_SECONDS.create(registry)
        self._delivery_wait_seconds = DELIVERY_WAIT_SECONDS.create(registry)
        self._deliveries_due = DELIVERIES_DUE.create(registry)
        self._oldest_due_seconds = OLDEST_DUE_DELIVERY_SECONDS.create(registry)
        self._unknown_clinics = UNKNOWN_CLINICS.create(registry)
        self._removed = REMOVED.create(registry)
        self.open_streams = INBOX_STREAMS.create(registry)
        self._refused_streams = INBOX_STREAMS_REFUSED.create(registry)

    def count_raised(self, severity: Severity, recorded_at: datetime | None) -> None:
        self._raised.labels(severity).inc()
        if recorded_at is not None and (latency := self._clock() - recorded_at) < MAX_LIVE_AGE:
            self._alert_latency_seconds.labels(severity).observe(max(0.0, latency.total_seconds()))

    def observe_acknowledgement(self, severity: Severity, latency: timedelta) -> None:
        self._acknowledgement_seconds.labels(severity).observe(max(0.0, latency.total_seconds()))

    def count_closed(self, severity: Severity, status: Status) -> None:
        """Count an alert closed by its episode; any status but repaired, retracted or ended is not counted."""
        if status in ("repaired", "retracted", "ended"):
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

    def set_unknown_clinics(self, count: int) -> None:
        self._unknown_clinics.set(count)

    def count_conflicts(self, count: int) -> None:
        self._conflicts.inc(count)

    def count_removed(self, kind: RemovedKind, count: int) -> None:
        self._removed.labels(kind).inc(count)

    def count_refused_stream(self, limit: StreamLimit) -> None:
        self._refused_streams.labels(limit).inc()

    def count_attempt(self, channel: ChannelName, outcome: DeliveryOutcome, seconds: float) -> None:
        self._deliveries.labels(channel, outcome).inc()
        if outcome != "not_needed":
            self._attempt_seconds.labels(channel).observe(seconds)

    def observe_wait(self, channel: ChannelName, seconds: float) -> None:
        self._delivery_wait_seconds.labels(channel).observe(max(0.0, seconds))


def _age_seconds(since: datetime | None, measured_at: datetime) -> float:
    return 0.0 if since is None else max(0.0, (measured_at - since).total_seconds())
