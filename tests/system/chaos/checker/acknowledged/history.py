"""The acknowledged history: what the requests say about relationships and sessions, and the events that they cause."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from shared.events import Answer, Event, Rater, Severity
from shared.events.model import SEVERITY_RANK

ANY_ID = UUID(int=0)
"""Placeholder for an id that Attune chooses."""


@dataclass(frozen=True)
class ExpectedEvent:
    """An event that must be stored and that occurred between `earliest` and `latest`."""

    event: Event
    """Its id is `ANY_ID`."""
    earliest: datetime
    latest: datetime


def create_expected_event(
    event_type: type[Event], *, between: tuple[datetime, datetime] | None = None, **fields: Any
) -> ExpectedEvent:
    """An event at the time that its fields give, or at some time in `between`."""
    event = event_type.model_validate(
        {"id": ANY_ID, "occurred_at": between[0] if between else fields["occurred_at"], **fields}
    )
    earliest, latest = between or (event.occurred_at, event.occurred_at)
    return ExpectedEvent(event, earliest, latest)


@dataclass
class AcknowledgedRelationship:
    """A relationship according to the acknowledged requests."""

    start_fields: Mapping[str, Any]
    aims_history: list[tuple[datetime, tuple[str, ...]]]
    consent_changes: list[tuple[datetime, bool]] = field(default_factory=list)
    """When consent changed, and whether it was given."""
    has_ended: bool = False

    @property
    def has_withdrawn_consent(self) -> bool:
        return any(not given for _, given in self.consent_changes)

    def has_consent_at(self, moment: datetime) -> bool:
        """Whether the latest change of consent up to `moment` gave it."""
        consents = [given for at, given in self.consent_changes if at <= moment]
        return bool(consents) and consents[-1]


@dataclass
class AcknowledgedSession:
    """A session according to the acknowledged requests."""

    relationship_id: UUID
    starts_at: datetime
    minutes: int
    acknowledged_at: datetime
    """When its appointment was first acknowledged."""
    scheduled_between: tuple[datetime, datetime]
    """The earliest and the latest time at which the current appointment was made."""
    outcome: str = ""
    due_at: datetime | None = None
    completion_acknowledged_at: datetime | None = None
    """When its completion was first acknowledged."""
    requested_raters: set[Rater] = field(default_factory=set)
    answers: dict[Rater, Answer] = field(default_factory=dict)
    answer_acknowledged_at: dict[Rater, datetime] = field(default_factory=dict)
    """When the first answer was acknowledged."""


@dataclass(frozen=True)
class Disposition:
    """A clinician's request to acknowledge or resolve an alert, and the alert's status in the response."""

    alert_id: UUID
    action: str
    status: str
    severity: Severity
    useful: bool | None = None
    request_id: UUID | None = None
    """The id in the request; older versions have none."""

    @property
    def event_ids(self) -> set[UUID]:
        """The ids under which it may be published: by an older version, one for each severity that it covers."""
        if self.request_id is not None:
            return {uuid5(self.alert_id, f"disposition:{self.request_id}")}
        ranks = SEVERITY_RANK.items()
        severities = [severity for severity, rank in ranks if rank >= SEVERITY_RANK[self.severity]]
        return {uuid5(self.alert_id, f"{self.action}:{severity}") for severity in severities}

    @property
    def is_applied(self) -> bool:
        """Whether the alert has the requested status.

        If it has another one, the alert changed again meanwhile, and this request may or may not have had an effect.
        """
        return self.status == self.action


class AcknowledgedHistory:
    """Everything that was acknowledged, as far as the requests were read."""

    def __init__(self, started_at: datetime, clock_skew: timedelta) -> None:
        self.expected_events: list[ExpectedEvent] = []
        self.possible_events: list[ExpectedEvent] = []
        """Events that may exist or not, because that depends on the order in which services received others."""
        self.relationships: dict[UUID, AcknowledgedRelationship] = {}
        self.sessions: dict[UUID, AcknowledgedSession] = {}
        self.dispositions: list[Disposition] = []
        self.case_codes: dict[UUID, str] = {}
        self.clinics: dict[UUID, dict[str, Any]] = {}
        """The fields of each clinic."""
        self.clinicians: dict[UUID, tuple[str, str]] = {}
        """Clinic and time zone of each clinician."""
        self.staff_records: dict[str, Mapping[str, Any]] = {}
        """The fields of each person, and of the lead of each clinic."""
        self.form_links: dict[str, tuple[UUID, Rater]] = {}
        """The session and the rater of each link to a form, by its token."""
        self.earliest = started_at - clock_skew
        """The earliest time that a service may have recorded during the run."""
        self.clock_skew = clock_skew

    def expect(
        self, event_type: type[Event], *, between: tuple[datetime, datetime] | None = None, **fields: Any
    ) -> None:
        """Add an event that must be stored."""
        self.expected_events.append(create_expected_event(event_type, between=between, **fields))
