"""Which topics the alliance service consumes, which handlers get their events, and which events it publishes."""

from collections.abc import Sequence

from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from shared.events import (
    AlertResolved,
    AllianceUpdated,
    Event,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)
from shared.events.topics import ALERTS, FEEDBACK, INTAKE, SESSIONS
from shared.kafka import Kafka

CONSUMED_EVENTS: tuple[type[HistoryEvent | AlertResolved], ...] = (*HISTORY_EVENTS, AlertResolved)
PUBLISHED_EVENTS: tuple[type[Event], ...] = (
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
)


def subscribe(kafka: Kafka, projector: AllianceProjector, disposition_recorder: DispositionRecorder) -> None:
    """Subscribe the projector to the events of histories, and the disposition recorder to resolved alerts."""

    async def handle_batch(events: Sequence[HistoryEvent | AlertResolved]) -> None:
        resolved = [event for event in events if isinstance(event, AlertResolved)]
        if history_events := [event for event in events if not isinstance(event, AlertResolved)]:
            await projector.handle_batch(history_events)
        if resolved:
            await disposition_recorder.handle_batch(resolved)

    kafka.subscribe(INTAKE, SESSIONS, FEEDBACK, ALERTS, event_types=CONSUMED_EVENTS, handler=handle_batch)
