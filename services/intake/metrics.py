"""The metrics of the intake service."""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter

from shared.events import EVENT_TYPES, Event

ImportOutcome = Literal["imported", "dry_run", "rejected"]


class IntakeMetrics:
    """Counts changes and caseload imports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            "attune_intake_events",
            "Changes made at intake, by the type of the published event.",
            ["type"],
            registry=registry,
        )
        self._imports = Counter(
            "attune_intake_imports",
            "Caseload files, by outcome; `dry_run` is a dry run without errors.",
            ["outcome"],
            registry=registry,
        )
        for event_type in (event_type for event_type in EVENT_TYPES if event_type.TOPIC.publisher == "intake"):
            self._events.labels(event_type.event_type())
        for outcome in get_args(ImportOutcome):
            self._imports.labels(outcome)

    def count_events(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.labels(event.event_type()).inc()

    def count_import(self, outcome: ImportOutcome) -> None:
        self._imports.labels(outcome).inc()
