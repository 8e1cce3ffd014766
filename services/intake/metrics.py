"""The metrics of the intake service."""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import CollectorRegistry

from shared.events import Event, event_types_published_by
from shared.runtime.metric_specs import CounterSpec

ImportOutcome = Literal["imported", "dry_run", "rejected"]


EVENTS = CounterSpec(
    "attune_intake_events",
    "Changes made at intake, by the type of the published event.",
    {"type": event_types_published_by("intake")},
)
IMPORTS = CounterSpec(
    "attune_intake_imports",
    "Caseload files, by outcome; `dry_run` is a dry run without errors.",
    {"outcome": get_args(ImportOutcome)},
)


class IntakeMetrics:
    """Counts changes and caseload imports."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = EVENTS.create(registry)
        self._imports = IMPORTS.create(registry)

    def count_events(self, events: Iterable[Event]) -> None:
        for event in events:
            self._events.labels(event.event_type()).inc()

    def count_import(self, outcome: ImportOutcome) -> None:
        self._imports.labels(outcome).inc()
