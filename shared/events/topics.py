"""The topics. They are retained forever: everything else can be rebuilt from them."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Topic:
    """A Kafka topic and its publisher."""

    name: str
    publisher: str
    """The only service that publishes new messages to it. Others publish there only what they redrive."""


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
"""The topics of each consumer group; a group is named after its service. A test compares this with the services."""


def dead_letter_topic(consumer: str) -> Topic:
    """The topic for the messages that `consumer` cannot decode."""
    return Topic(f"clinic.{consumer}.dead-letters", consumer)


ALL_TOPICS = (*EVENT_TOPICS, *(dead_letter_topic(consumer) for consumer in CONSUMED_TOPICS))
