"""Which topics the alliance service hears, what it does about each, and what it tells."""

from collections.abc import Sequence

from services.alliance.domain.state.history import HISTORY_EVENTS
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

CONSUMED_EVENTS: tuple[type[Event], ...] = (*HISTORY_EVENTS, AlertResolved)
PUBLISHED_EVENTS: tuple[type[Event], ...] = (
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
)


def subscribe(kafka: Kafka, projector: AllianceProjector, disposition_recorder: DispositionRecorder) -> None:
    """Facts are read into alliances; what clinicians say of alerts is kept beside them."""

    async def handle_batch(events: Sequence[Event]) -> None:
        resolved = [event for event in events if isinstance(event, AlertResolved)]
        if history_events := [event for event in events if not isinstance(event, AlertResolved)]:
            await projector(history_events)
        if resolved:
            await disposition_recorder(resolved)

    kafka.subscribe(INTAKE, SESSIONS, FEEDBACK, ALERTS, event_types=CONSUMED_EVENTS, handler=handle_batch)
