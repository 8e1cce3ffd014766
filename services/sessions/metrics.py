"""What is counted of sessions and feedback."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.events import Event

Page = Literal["form", "incomplete", "thanks", "unknown-link", "link-used", "link-expired", "no-consent", "unavailable"]


class SessionMetrics:
    """Sessions, feedback and forms, in numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "attune_sessions_events",
            "What happened to sessions and their feedback, by the type of the event that tells it.",
            ["type"],
            registry=registry,
        )
        self._pages = Counter("attune_sessions_pages", "Form pages shown, by which.", ["page"], registry=registry)
        self._overdue = Gauge(
            "attune_sessions_overdue_seconds",
            "How long ago the oldest unanswered request should have lapsed; high when the timer cannot keep up.",
            registry=registry,
        )

    def happened(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.labels(event.kind()).inc()

    def showed(self, page: Page) -> None:
        self._pages.labels(page).inc()

    def oldest_due(self, oldest: datetime | None, now: datetime) -> None:
        self._overdue.set(0 if oldest is None else (now - oldest).total_seconds())
