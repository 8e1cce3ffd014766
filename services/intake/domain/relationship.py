"""A relationship as intake stores it: how it started, what was agreed since, and how it ended."""

from typing import Annotated, Any, Literal, get_args
from uuid import UUID, uuid5

from pydantic import AfterValidator, BeforeValidator, Field

from services.intake.domain.people import StoredModel
from shared.events import Aim, CaseCode, EndReason, UtcDatetime


def _check_unique(aims: tuple[Aim, ...]) -> tuple[Aim, ...]:
    if len(set(aims)) < len(aims):
        raise ValueError("names an aim twice")
    return aims


def _check_count(aims: Any) -> Any:
    """Rejects more than there are before it looks at each: a request has room for half a million."""
    if isinstance(aims, list) and len(aims) > len(get_args(Aim)):
        raise ValueError("names an aim twice, or one that does not exist")
    return aims


Aims = Annotated[
    tuple[Aim, ...],
    Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    BeforeValidator(_check_count),
    AfterValidator(_check_unique),
]
CadenceDays = Annotated[int, Field(ge=1, le=365)]
NonTransferEndReason = Literal["completed", "stopped_by_client", "stopped_by_clinician", "other"]
"""Why a relationship ends if no other one follows it."""


class Start(StoredModel):
    """How a relationship started. It never changes."""

    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    case_code: CaseCode
    started_at: UtcDatetime
    aims: Aims
    cadence_days: CadenceDays
    consent: bool
    predecessor_id: UUID | None = None


class AimsAgreement(StoredModel):
    """The aims of the therapy on which client and clinician agreed, valid from `agreed_at`."""

    aims: Aims
    agreed_at: UtcDatetime


class Consent(StoredModel):
    """Whether the client agrees to be asked about the sessions, valid from `at`."""

    given: bool
    at: UtcDatetime


class End(StoredModel):
    """Why and when a relationship ended."""

    reason: EndReason
    at: UtcDatetime
    successor_id: UUID | None = None


class EndCorrection(StoredModel):
    """A correction of an end that was recorded by mistake."""

    correction_id: UUID
    end: End | None
    """The right end; None if the two still work together."""


class Relationship(StoredModel):
    """A clinician and a client who work together."""

    relationship_id: UUID
    start: Start
    agreements: tuple[AimsAgreement, ...] = Field(min_length=1)
    """All of them, so that a repeated request is recognized even if it arrives late."""
    consents: tuple[Consent, ...] = ()
    """Every change of consent; empty until the client first agrees."""
    end: End | None = None
    end_corrections: tuple[EndCorrection, ...] = ()
    """Every correction of the end, so that a repeated request is recognized even if it arrives late."""

    @property
    def aims(self) -> Aims:
        """The aims agreed on last."""
        return self.agreements[-1].aims

    @property
    def consent(self) -> bool:
        """Whether the client agrees to be asked about the sessions."""
        return bool(self.consents) and self.consents[-1].given

    def derive_id(self, name: str) -> UUID:
        """The id of an event about this relationship. The same name always gives the same id."""
        return uuid5(self.relationship_id, name)
