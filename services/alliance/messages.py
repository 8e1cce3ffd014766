"""Which topics the alliance service hears, and what it tells."""

from services.alliance.domain.facts import FACTS
from services.alliance.hear import Hear
from shared.events import (
    AllianceUpdated,
    Event,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)
from shared.kafka import Kafka
from shared.topics import FEEDBACK, INTAKE, SESSIONS

HEARS: tuple[type[Event], ...] = FACTS
TELLS: tuple[type[Event], ...] = (
    AllianceUpdated,
    RuptureSuspected,
    RuptureChanged,
    RuptureRepaired,
    RuptureRetracted,
)


def subscribe(kafka: Kafka, hear: Hear) -> None:
    """Say what we do about each topic."""
    kafka.hear(INTAKE, SESSIONS, FEEDBACK, kinds=HEARS, batch=hear)
