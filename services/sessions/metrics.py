"""The metrics of the sessions service."""

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

Page = Literal[
    "form", "invalid-form", "thanks", "unknown-link", "link-used", "link-expired", "no-consent", "unavailable"
]

FEEDBACK_OUTCOMES: dict[type[Event], Literal["requested", "answered", "amended", "lapsed"]] = {
    FeedbackRequested: "requested",
    FeedbackSubmitted: "answered",
    FeedbackAmended: "amended",
    FeedbackLapsed: "lapsed",
}


class SessionsMetrics:
    """Counts changes, feedback and form pages, and measures how far the timer is behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "attune_sessions_events",
            "Changes of sessions and their feedback, by the type of the published event.",
            ["type"],
            registry=registry,
        )
        self._feedback = Counter(
            "attune_sessions_feedback",
            "Feedback requested, answered (late answers included), amended, or lapsed without an answer, by rater.",
            ["rater", "outcome"],
            registry=registry,
        )
        self._pages = Counter("attune_sessions_pages", "Form pages shown, by page.", ["page"], registry=registry)
        self._overdue = Gauge(
            "attune_sessions_overdue_seconds",
            "Seconds since the oldest unanswered feedback request should have lapsed; "
            "high when the timer cannot keep up.",
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
