"""Every metric of the notify service."""

from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.notify.domain.routing import ChannelName
from shared.events import Severity

Outcome = Literal["sent", "refused", "failed", "retried", "unsure", "not_needed"]


class Metrics:
    """Alerts and messages, in numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._raised = Counter(
            "attune_notify_alerts_raised",
            "Alerts that came to be of a severity, each counted once for each severity it rose to.",
            ["severity"],
            registry=registry,
        )
        self._conflicts = Counter(
            "attune_notify_conflicts",
            "Documents that somebody else wrote first; they were read again and written over.",
            registry=registry,
        )
        self._deliveries = Counter(
            "attune_notify_deliveries",
            "Messages by what became of them: refused is an address that is wrong for good, failed is given up, "
            "retried is one try in vain, unsure is one try whose answer was lost, so that it may have arrived, "
            "not_needed is what nobody had to hear of any more.",
            ["channel", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            "attune_notify_delivery_seconds",
            "Time that one try to deliver a message took.",
            ["channel"],
            buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 90, 240),
            registry=registry,
        )
        self._waited = Histogram(
            "attune_notify_delivery_wait_seconds",
            "Time from a message's being owed to its acceptance by the receiver.",
            ["channel"],
            buckets=(0.1, 0.5, 1, 5, 15, 60, 300, 1800, 3600, 14_400, 86_400),
            registry=registry,
        )
        self.due = Gauge("attune_notify_deliveries_due", "Messages that are still to be delivered.", registry=registry)
        self.readers = Gauge("attune_notify_inbox_streams", "Inboxes that are open and live.", registry=registry)

    def raised(self, severity: Severity) -> None:
        self._raised.labels(severity).inc()

    def conflicts(self, documents: int) -> None:
        self._conflicts.inc(documents)

    def tried(self, channel: ChannelName, outcome: Outcome, seconds: float) -> None:
        self._deliveries.labels(channel, outcome).inc()
        if outcome != "not_needed":
            self._seconds.labels(channel).observe(seconds)

    def waited(self, channel: ChannelName, seconds: float) -> None:
        self._waited.labels(channel).observe(max(0.0, seconds))
