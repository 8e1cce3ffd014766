"""The metrics of the sessions service."""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal, get_args

from prometheus_client import CollectorRegistry

from shared.events import (
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    Rater,
    event_types_published_by,
)
from shared.runtime.metric_specs import CounterSpec, GaugeSpec

Page = Literal[
    "form",
    "invalid-form",
    "thanks",
    "unknown-link",
    "link-used",
    "link-expired",
    "session-not-held",
    "no-consent",
    "unreadable-request",
    "unavailable",
]

FEEDBACK_OUTCOMES: dict[type[Event], Literal["requested", "answered", "amended", "lapsed"]] = {
    FeedbackRequested: "requested",
    FeedbackSubmitted: "answered",
    FeedbackAmended: "amended",
    FeedbackLapsed: "lapsed",
}


EVENTS = CounterSpec(
    "attune_sessions_events",
    "Changes of sessions and their feedback, by the type of the published event.",
    {"type": event_types_published_by("sessions")},
)
FEEDBACK = CounterSpec(
    "attune_sessions_feedback",
    "Feedback requested, answered (late answers included), amended, or lapsed without an answer, by rater.",
    {"rater": get_args(Rater), "outcome": tuple(FEEDBACK_OUTCOMES.values())},
)
PAGES = CounterSpec("attune_sessions_pages", "Form pages shown, by page.", {"page": None})
OVERDUE_SECONDS = GaugeSpec(
    "attune_sessions_overdue_seconds",
    "Seconds since the oldest unanswered feedback request should have lapsed; high when the timer cannot keep up.",
)


UNKNOWN_CLINICS = GaugeSpec(
    "attune_sessions_unknown_clinics",
    "Relationships and sessions whose clinic is not known yet, so that no request sees them. "
    "Every process reports the same value.",
)


class SessionsMetrics:
    """Counts changes, feedback and form pages, and measures how far the timer is behind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = EVENTS.create(registry)
        self._feedback = FEEDBACK.create(registry)
        self._pages = PAGES.create(registry)
        self._overdue = OVERDUE_SECONDS.create(registry)
        self._unknown_clinics = UNKNOWN_CLINICS.create(registry)

    def count_events(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.labels(event.event_type()).inc()
            match event:
                case FeedbackRequested() | FeedbackSubmitted() | FeedbackAmended() | FeedbackLapsed():
                    self._feedback.labels(event.rater, FEEDBACK_OUTCOMES[type(event)]).inc()

    def count_page(self, page: Page) -> None:
        self._pages.labels(page).inc()

    def set_unknown_clinics(self, count: int) -> None:
        self._unknown_clinics.set(count)

    def set_overdue(self, oldest_lapse_at: datetime | None, now: datetime) -> None:
        self._overdue.set(0 if oldest_lapse_at is None else (now - oldest_lapse_at).total_seconds())
