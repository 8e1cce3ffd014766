"""What is counted of sessions and feedback."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge

from shared.events import (
    EVENT_TYPES,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    Rater,
)

Page = Literal["form", "incomplete", "thanks", "unknown-link", "link-used", "link-expired", "no-consent", "unavailable"]

FEEDBACK_OUTCOMES: dict[type[Event], Literal["asked", "answered", "amended", "lapsed"]] = {
    FeedbackRequested: "asked",
    FeedbackSubmitted: "answered",
    FeedbackAmended: "amended",
    FeedbackLapsed: "lapsed",
}


class SessionsMetrics:
    """Sessions, feedback and forms, in numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "attune_sessions_events",
            "What happened to sessions and their feedback, by the type of the event that tells it.",
            ["type"],
            registry=registry,
        )
        self._feedback = Counter(
            "attune_sessions_feedback",
            "Forms asked for, answered (also late), amended, or lapsed without an answer, by who was asked.",
            ["rater", "outcome"],
            registry=registry,
        )
        self._pages = Counter("attune_sessions_pages", "Form pages shown, by which.", ["page"], registry=registry)
        self._overdue = Gauge(
            "attune_sessions_overdue_seconds",
            "How long ago the oldest unanswered request should have lapsed; high when the timer cannot keep up.",
            registry=registry,
        )
        for event_type in (event_type for event_type in EVENT_TYPES if event_type.TOPIC.publisher == "sessions"):
            self._events.labels(event_type.event_type())
        for rater in get_args(Rater):
            for outcome in FEEDBACK_OUTCOMES.values():
                self._feedback.labels(rater, outcome)

    def count_events(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.labels(event.event_type()).inc()
            match event:
                case FeedbackRequested() | FeedbackSubmitted() | FeedbackAmended() | FeedbackLapsed():
                    self._feedback.labels(event.rater, FEEDBACK_OUTCOMES[type(event)]).inc()

    def count_page(self, page: Page) -> None:
        self._pages.labels(page).inc()

    def set_overdue(self, oldest_lapse_at: datetime | None, now: datetime) -> None:
        self._overdue.set(0 if oldest_lapse_at is None else (now - oldest_lapse_at).total_seconds())
