"""The topics of the clinic network: kept for good, they are the record from which all else can be rebuilt."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """A subject that one service tells of."""

    name: str
    publisher: str  # the one service that writes to it


INTAKE = Topic("clinic.intake", "intake")
SESSIONS = Topic("clinic.sessions", "sessions")
FEEDBACK = Topic("clinic.feedback", "sessions")
ALLIANCE = Topic("clinic.alliance", "alliance")
ALERTS = Topic("clinic.alerts", "notify")

EVENT_TOPICS = (INTAKE, SESSIONS, FEEDBACK, ALLIANCE, ALERTS)

CONSUMED_TOPICS: Mapping[str, tuple[Topic, ...]] = {
    "sessions": (INTAKE,),
    "alliance": (INTAKE, SESSIONS, FEEDBACK, ALERTS),
    "notify": (INTAKE, SESSIONS, ALLIANCE),
}
"""Who hears what: the consumer groups, which bear their services' names. A test holds it to what they do."""


def dead_letter_topic(consumer: str) -> Topic:
    """Where `consumer` sets aside what it will never be able to read."""
    return Topic(f"clinic.{consumer}.dead-letters", consumer)


ALL_TOPICS = (*EVENT_TOPICS, *(dead_letter_topic(consumer) for consumer in CONSUMED_TOPICS))
