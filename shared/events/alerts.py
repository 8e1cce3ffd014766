"""What notify tells of alerts, and of what was done about them."""

from typing import ClassVar, Literal
from uuid import UUID

from shared.events.model import RelationshipEvent, Severity
from shared.events.topics import ALERTS, Topic


class AlertEvent(RelationshipEvent):
    """Something that happened to one alert."""

    TOPIC: ClassVar[Topic] = ALERTS

    alert_id: UUID
    episode_id: UUID
    clinician_id: UUID


class AlertRaised(AlertEvent):
    """An episode stands in the clinician's inbox."""

    type: Literal["clinic.alert.raised.v1"] = "clinic.alert.raised.v1"
    severity: Severity


class AlertAcknowledged(AlertEvent):
    """The clinician has seen it and takes it on."""

    type: Literal["clinic.alert.acknowledged.v1"] = "clinic.alert.acknowledged.v1"


class AlertResolved(AlertEvent):
    """The clinician is done with it, and says whether it was worth the interruption."""

    type: Literal["clinic.alert.resolved.v1"] = "clinic.alert.resolved.v1"
    useful: bool | None = None
