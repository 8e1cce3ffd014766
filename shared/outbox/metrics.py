"""The metrics of the outbox."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, get_args

from prometheus_client import CollectorRegistry

from shared.runtime.metric_specs import CounterSpec, GaugeSpec, HistogramSpec

Trigger = Literal["write", "relay"]
"""Who published an event: the process that wrote it, or the relay."""

EVENTS_PUBLISHED = CounterSpec(
    "attune_outbox_events_published",
    "Events published from the outbox of HTTP writes and timers; `relay` counts those that a crash left pending.",
    {"trigger": get_args(Trigger)},
)
WAIT_SECONDS = HistogramSpec(
    "attune_outbox_wait_seconds",
    "Time from a write until Kafka acknowledged its event.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
)
PENDING_DOCUMENTS = GaugeSpec(
    "attune_outbox_pending_documents", "Documents with outbox entries that are not published yet."
)
OLDEST_PENDING_SECONDS = GaugeSpec(
    "attune_outbox_oldest_pending_seconds", "Age of the oldest pending outbox entry; 0 when there is none."
)


class OutboxMetrics:
    """Metrics of pending and published outbox entries."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events_published = EVENTS_PUBLISHED.create(registry)
        self._wait_seconds = WAIT_SECONDS.create(registry)
        self._pending_documents = PENDING_DOCUMENTS.create(registry)
        self._oldest_pending_seconds = OLDEST_PENDING_SECONDS.create(registry)

    def count_published(self, trigger: Trigger, count: int) -> None:
        self._events_published.labels(trigger).inc(count)

    def observe_waits(self, written_at: Iterable[datetime], now: datetime) -> None:
        for moment in written_at:
            self._wait_seconds.observe(max(0.0, (now - moment).total_seconds()))

    def set_pending(self, documents: int, oldest_age: timedelta) -> None:
        self._pending_documents.set(documents)
        self._oldest_pending_seconds.set(oldest_age.total_seconds())
