"""Every metric of the alliance service."""

from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import get_args

from prometheus_client import CollectorRegistry

from services.alliance.domain.state.history import FEEDBACK_EVENTS, HISTORY_EVENTS, HistoryEvent
from services.alliance.domain.tuning.dispositions import Disposition, measure_precision
from shared.events import Severity
from shared.runtime.clock import now
from shared.runtime.metric_specs import CounterSpec, GaugeSpec, HistogramSpec

MAX_LIVE_AGE = timedelta(days=1)
"""Feedback recorded longer ago is refolded history, or so late that other alerts report it already."""


EVENTS = CounterSpec(
    "attune_alliance_events",
    "Events handled, redeliveries included.",
    {"type": tuple(event_type.event_type() for event_type in HISTORY_EVENTS)},
)
REFOLDS = CounterSpec(
    "attune_alliance_refolds",
    "Relationships refolded from their whole history, because an event was late, amended or redelivered, "
    "or because the policy changed.",
)
CONFLICTS = CounterSpec(
    "attune_alliance_conflicts",
    "Version conflicts: states that another process wrote first. They were loaded again and saved.",
)
ALERT_DISPOSITIONS = CounterSpec(
    "attune_alliance_alert_dispositions",
    "Alerts that clinicians resolved, by detector and by whether the clinician called the alert useful. "
    "An alert counts once for each of its detectors. A resolution that is taken back later stays counted.",
    {"detector": None, "useful": None},
)
SCORING_DURATION_SECONDS = HistogramSpec(
    "attune_alliance_scoring_duration_seconds",
    "Time from recording feedback until a score based on it was published. "
    "Feedback recorded more than a day ago is left out.",
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
)
OPEN_EPISODES = GaugeSpec(
    "attune_alliance_open_episodes",
    "Relationships with an open episode, by severity. Every process reports the same value.",
    {"severity": None},
)


class Metrics:
    """The metrics of the alliance service."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._events = EVENTS.create(registry)
        self._refolds = REFOLDS.create(registry)
        self._conflicts = CONFLICTS.create(registry)
        self._dispositions = ALERT_DISPOSITIONS.create(registry)
        self._scoring_duration = SCORING_DURATION_SECONDS.create(registry)
        self._open_episodes = OPEN_EPISODES.create(registry)

    def count_events(self, events: Sequence[HistoryEvent]) -> None:
        for event_type, count in Tally(event.type for event in events).items():
            self._events.labels(event_type).inc(count)
        scored_at = self._clock()
        for event in events:
            if isinstance(event, FEEDBACK_EVENTS) and event.recorded_at is not None:
                duration = scored_at - event.recorded_at
                if duration < MAX_LIVE_AGE:
                    self._scoring_duration.observe(max(0.0, duration.total_seconds()))

    def set_open_episodes(self, by_severity: Mapping[Severity, int]) -> None:
        for severity in get_args(Severity):
            self._open_episodes.labels(severity).set(by_severity.get(severity, 0))

    def count_refolds(self, relationships: int) -> None:
        self._refolds.inc(relationships)

    def count_conflicts(self, relationships: int) -> None:
        self._conflicts.inc(relationships)

    def count_dispositions(self, dispositions: Sequence[Disposition]) -> None:
        for precision in measure_precision(dispositions):
            for useful, count in (
                ("yes", precision.useful),
                ("no", precision.not_useful),
                ("not_stated", precision.not_stated),
            ):
                if count:
                    self._dispositions.labels(precision.detector, useful).inc(count)
