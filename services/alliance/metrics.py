"""Every metric of the alliance service."""

from collections import Counter as Tally
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.alliance.domain.state.history import FEEDBACK_EVENTS, HISTORY_EVENTS, HistoryEvent
from services.alliance.domain.tuning.dispositions import Disposition, measure_precision
from shared.events import Severity
from shared.runtime.clock import now

MAX_LIVE_AGE = timedelta(days=1)
"""What was recorded longer ago is history that is read again, or was late with alarms enough already."""


class Metrics:
    """What becomes of facts, in numbers."""

    def __init__(self, registry: CollectorRegistry, clock: Callable[[], datetime] = now) -> None:
        self._clock = clock
        self._events = Counter(
            "attune_alliance_facts", "Facts taken in, delivered again or not.", ["type"], registry=registry
        )
        self._refolds = Counter(
            "attune_alliance_refolds",
            "Relationships whose whole history was read again, because a fact was late, amended or came again, "
            "or because it had been read under another policy.",
            registry=registry,
        )
        self._conflicts = Counter(
            "attune_alliance_conflicts",
            "States that another process wrote first; they were read again and written over.",
            registry=registry,
        )
        self._dispositions = Counter(
            "attune_alliance_judged_alerts",
            "Alerts that clinicians were done with, and whether they said that they were worth the interruption; "
            "each counts for every detector that took part in it.",
            ["detector", "useful"],
            registry=registry,
        )
        self._scoring_duration = Histogram(
            "attune_alliance_scored_seconds",
            "Time from an answer's acknowledgement to its sender until a score that rests on it was told; "
            "answers of more than a day ago, which are read again, are left out.",
            buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 3600),
            registry=registry,
        )
        self._open_episodes = Gauge(
            "attune_alliance_open_episodes",
            "Relationships that show signs of rupture now, by severity; every process says the same.",
            ["severity"],
            registry=registry,
        )
        for event_type in HISTORY_EVENTS:
            self._events.labels(event_type.event_type())

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
                ("unsaid", precision.not_stated),
            ):
                if count:
                    self._dispositions.labels(precision.detector, useful).inc(count)
