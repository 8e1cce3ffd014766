"""Which topics the alliance service hears, what it does about each, and what it tells."""

from collections.abc import Sequence

from services.alliance.domain.state.history import FACTS
from services.alliance.handlers.dispositions import Judge
from services.alliance.handlers.projector import Hear
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

HEARS: tuple[type[Event], ...] = (*FACTS, AlertResolved)
TELLS: tuple[type[Event], ...] = (
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
)


def subscribe(kafka: Kafka, projector: Hear, disposition_recorder: Judge) -> None:
    """Facts are read into alliances; what clinicians say of alerts is kept beside them."""

    async def take(events: Sequence[Event]) -> None:
        resolved = [event for event in events if isinstance(event, AlertResolved)]
        if history_events := [event for event in events if not isinstance(event, AlertResolved)]:
            await projector(history_events)
        if resolved:
            await disposition_recorder(resolved)

    kafka.hear(INTAKE, SESSIONS, FEEDBACK, ALERTS, kinds=HEARS, batch=take)
