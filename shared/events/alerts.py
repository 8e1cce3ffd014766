"""Events that notify publishes: alerts, and what clinicians did about them."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal
from uuid import UUID, uuid5

from pydantic import model_validator

from shared.events.model import SEVERITY_RANK, RelationshipEvent, Severity
from shared.events.topics import ALERTS, Topic

DispositionKind = Literal["talked_about", "changed_something", "not_a_rupture", "no_action"]
"""What the clinician did about an alert. A new kind is introduced like a new reason of `RuptureEnded`."""


class AlertEvent(RelationshipEvent):
    """Something that happened to one alert."""

    TOPIC: ClassVar[Topic] = ALERTS

    alert_id: UUID
    episode_id: UUID
    clinician_id: UUID


class AlertRaised(AlertEvent):
    """An alert about an episode is in the clinician's inbox."""

    type: Literal["clinic.alert.raised.v1"] = "clinic.alert.raised.v1"
    severity: Severity


class DispositionEvent(AlertEvent):
    """What the clinician decided about an alert. A disposition counts until an `AlertReopened` takes it back."""

    ACTION: ClassVar[Literal["acknowledged", "resolved"]]

    severity: Severity | None = None
    """The severity of the alert at that moment; older records lack it, and it is filled in from their id."""

    @model_validator(mode="before")
    @classmethod
    def _complete_old_record(cls, data: Any) -> Any:
        """Fill in the severity of a record that does not say it. Its id was derived from the severity."""
        if not isinstance(data, Mapping) or data.get("severity") is not None:
            return data
        candidates = (s for s in SEVERITY_RANK if str(data.get("id")) == _old_disposition_id(data, cls.ACTION, s))
        return {**data, "severity": next(candidates, None)}


def _old_disposition_id(data: Mapping[str, Any], action: str, severity: Severity) -> str | None:
    try:
        return str(old_disposition_id(UUID(str(data.get("alert_id"))), action, severity))
    except ValueError:
        return None


def old_disposition_id(alert_id: UUID, action: str, severity: Severity) -> UUID:
    """The id under which versions before 0.2 published a disposition: one for each severity."""
    return uuid5(alert_id, f"{action}:{severity}")


def disposition_id(alert_id: UUID, request_id: UUID) -> UUID:
    """The id of the event about a disposition: the same one each time the request is repeated.

    It depends on the alert, so that an id that is used for two alerts by mistake gives two events.
    """
    return uuid5(alert_id, f"disposition:{request_id}")


class AlertAcknowledged(DispositionEvent):
    """The clinician has seen the alert and takes it on."""

    ACTION = "acknowledged"

    type: Literal["clinic.alert.acknowledged.v1"] = "clinic.alert.acknowledged.v1"


class AlertResolved(DispositionEvent):
    """The clinician is done with the alert, and may say what came of it. It ends the episode, if that is still open.

    What the client says afterwards counts in full.
    """

    ACTION = "resolved"

    type: Literal["clinic.alert.resolved.v1"] = "clinic.alert.resolved.v1"
    useful: bool | None = None
    """Whether it was worth the interruption."""
    disposition: DispositionKind | None = None
    """What the clinician did; null if that was not stated, as in events of older versions."""


class AlertReopened(AlertEvent):
    """The clinician took a disposition back: the alert is as if that had never been made."""

    type: Literal["clinic.alert.reopened.v1"] = "clinic.alert.reopened.v1"
    severity: Severity
    """The severity of the alert at that moment."""
    disposition_id: UUID
    """The id of the event about the disposition that is taken back."""
