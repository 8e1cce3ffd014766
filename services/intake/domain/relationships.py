"""Who works with whom: relationships, from the day they start to the day they end or pass to somebody else.

The decisions here are pure: a relationship and a request give the relationship as it becomes and the events that
follow, or raise Refused. Asked again, they change nothing and nothing follows, also when more has happened since.
Ids follow from the relationship's own id.
"""

from collections.abc import Sequence
from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import AfterValidator, Field

from services.intake.domain.people import Client, Clinician, Frozen
from shared.errors import Refused
from shared.events import (
    Aim,
    CaseCode,
    ConsentGiven,
    ConsentWithdrawn,
    EndReason,
    Event,
    Moment,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
)
from shared.events.clock_skew import refuse_the_future


def _each_once(aims: tuple[Aim, ...]) -> tuple[Aim, ...]:
    if len(set(aims)) < len(aims):
        raise ValueError("names an aim twice")
    return aims


Aims = Annotated[tuple[Aim, ...], Field(min_length=1), AfterValidator(_each_once)]
CadenceDays = Annotated[int, Field(ge=1, le=365)]
OwnEndReason = Literal["completed", "stopped_by_client", "stopped_by_clinician", "other"]
"""Why a relationship ends without another one following."""


class Start(Frozen):
    """How a relationship began; it stays as it was told."""

    clinic_id: UUID
    clinician_id: UUID
    client_id: UUID
    case_code: CaseCode
    started_at: Moment
    aims: Aims
    cadence_days: CadenceDays
    consent: bool
    predecessor_id: UUID | None = None


class Agreement(Frozen):
    """What the two agreed that the therapy is for, from a moment on."""

    aims: Aims
    agreed_at: Moment


class Consent(Frozen):
    """The client's word on being asked about the sessions, from a moment on."""

    given: bool
    at: Moment


class End(Frozen):
    """Why and when the two stopped working together."""

    reason: EndReason
    at: Moment
    successor_id: UUID | None = None


class Relationship(Frozen):
    """A therapist and a client who work together."""

    relationship_id: UUID
    start: Start
    agreements: tuple[Agreement, ...] = Field(min_length=1)
    """All of them, so that a request that comes again late is known for what it is."""
    consents: tuple[Consent, ...] = ()
    """Every change of the client's word; none as long as there was no consent."""
    end: End | None = None

    @property
    def aims(self) -> Aims:
        """What the therapy is for now."""
        return self.agreements[-1].aims

    @property
    def consent(self) -> bool:
        """Whether the client agrees to be asked."""
        return bool(self.consents) and self.consents[-1].given

    def told(self, name: str) -> UUID:
        """The id of the event of this name about this relationship: told twice, it is the same."""
        return uuid5(self.relationship_id, name)


Decided = tuple[Relationship, Sequence[Event]]


def begin(
    before: Relationship | None, relationship_id: UUID, start: Start, clinician: Clinician, client: Client, now: Moment
) -> Decided:
    """Begin a relationship."""
    if before is not None:
        return _as_it_began(before, start), ()
    refuse_the_future("started_at", start.started_at, now)
    if client.clinic_id != start.clinic_id:
        raise Refused("client-of-another-clinic", f"Client {client.client_id} belongs to another clinic.")
    _refuse_elsewhere(clinician, start.clinic_id)
    relationship = Relationship(
        relationship_id=relationship_id,
        start=start,
        agreements=(Agreement(aims=start.aims, agreed_at=start.started_at),),
    )
    started = RelationshipStarted(
        id=relationship.told("started"),
        relationship_id=relationship_id,
        occurred_at=start.started_at,
        clinic_id=start.clinic_id,
        clinician_id=start.clinician_id,
        client_id=start.client_id,
        case_code=start.case_code,
        aims=start.aims,
        cadence_days=start.cadence_days,
        predecessor_id=start.predecessor_id,
    )
    if not start.consent:
        return relationship, (started,)
    relationship, consent_given = _with_consent(relationship, Consent(given=True, at=start.started_at))
    return relationship, (started, consent_given)


def agree(relationship: Relationship, agreement: Agreement, now: Moment) -> Decided:
    """Note that the two agreed anew on what the therapy is for."""
    if agreement in relationship.agreements:
        return relationship, ()
    _refuse_after_the_end(relationship)
    refuse_the_future("agreed_at", agreement.agreed_at, now)
    last = relationship.agreements[-1]
    if agreement.agreed_at <= last.agreed_at:
        raise Refused(
            "agreed-since",
            f"The aims were last agreed on at {last.agreed_at.isoformat()}; agreed_at must lie after that.",
        )
    after = relationship.model_copy(update={"agreements": (*relationship.agreements, agreement)})
    updated = RelationshipAimsUpdated(
        id=after.told(f"aims {len(after.agreements)}"),
        relationship_id=after.relationship_id,
        occurred_at=agreement.agreed_at,
        aims=agreement.aims,
    )
    return after, (updated,)


def hear_client(relationship: Relationship, consent_change: Consent, now: Moment) -> Decided:
    """Note that the client agrees to be asked about the sessions, or no longer does."""
    refuse_the_future("at", consent_change.at, now)
    _refuse_before_the_start(relationship, consent_change.at)
    if consent_change in relationship.consents or _was_so(relationship, consent_change):
        return relationship, ()
    _refuse_after_the_end(relationship)
    last = relationship.consents[-1] if relationship.consents else None
    if last is not None and consent_change.at <= last.at:
        last_status = "given" if last.given else "withdrawn"
        raise Refused(
            "said-since", f"Consent was last {last_status}, at {last.at.isoformat()}; a change must lie after that."
        )
    after, event = _with_consent(relationship, consent_change)
    return after, (event,)


def end(relationship: Relationship, ending: End, now: Moment) -> Decided:
    """Note that the two no longer work together."""
    if relationship.end == ending:
        return relationship, ()
    _refuse_after_the_end(relationship)
    refuse_the_future("at", ending.at, now)
    _refuse_before_the_start(relationship, ending.at)
    ended = RelationshipEnded(
        id=relationship.told("ended"),
        relationship_id=relationship.relationship_id,
        occurred_at=ending.at,
        reason=ending.reason,
        successor_id=ending.successor_id,
    )
    return relationship.model_copy(update={"end": ending}), (ended,)


def hand_over(relationship: Relationship, successor_id: UUID, to: Clinician, at: Moment, now: Moment) -> Decided:
    """End a relationship because the client goes on with another clinician; `follow` is the other half."""
    if successor_id == relationship.relationship_id:
        raise Refused("same-relationship", "The relationship that follows needs an id of its own.")
    if to.clinician_id == relationship.start.clinician_id:
        raise Refused("same-clinician", f"The client already works with clinician {to.clinician_id}.")
    return end(relationship, End(reason="transferred", at=at, successor_id=successor_id), now)


def follow(before: Relationship | None, ended: Relationship, to: Clinician) -> Decided:
    """Begin the relationship that follows one that was just handed over: with its aims, cadence and consent."""
    ending = ended.end
    if ending is None or ending.successor_id is None:
        raise ValueError("only what was handed over is followed")
    start = ended.start.model_copy(
        update={
            "clinician_id": to.clinician_id,
            "started_at": ending.at,
            "aims": ended.aims,
            "consent": ended.consent,
            "predecessor_id": ended.relationship_id,
        }
    )
    client = Client(client_id=start.client_id, clinic_id=start.clinic_id, case_code=start.case_code)
    return begin(before, ending.successor_id, start, to, client, now=ending.at)


def _with_consent(relationship: Relationship, consent_change: Consent) -> tuple[Relationship, Event]:
    after = relationship.model_copy(update={"consents": (*relationship.consents, consent_change)})
    event_type = ConsentGiven if consent_change.given else ConsentWithdrawn
    event = event_type(
        id=after.told(f"consent {len(after.consents)}"),
        relationship_id=after.relationship_id,
        occurred_at=consent_change.at,
    )
    return after, event


def _was_so(relationship: Relationship, consent_change: Consent) -> bool:
    """Whether the word says what was known of that moment anyway; of the time after the end nothing is known."""
    if relationship.end is not None and consent_change.at > relationship.end.at:
        return False
    consent_until_then = [consent.given for consent in relationship.consents if consent.at <= consent_change.at]
    return consent_change.given == (bool(consent_until_then) and consent_until_then[-1])


def _as_it_began(before: Relationship, start: Start) -> Relationship:
    """Raises Refused when it is said to have begun otherwise than it did; only a transfer names what went before."""
    compared_fields = set(Start.model_fields) - ({"predecessor_id"} if start.predecessor_id is None else set())
    different_fields = [
        name
        for name in Start.model_fields
        if name in compared_fields and getattr(before.start, name) != getattr(start, name)
    ]
    if not different_fields:
        return before
    raise Refused(
        "started-otherwise",
        f"Relationship {before.relationship_id} is known with another {', '.join(different_fields)}, and what it started with "
        "stays. For a new relationship choose a new id; new aims, consent and clinicians have requests of their own.",
    )


def _refuse_elsewhere(clinician: Clinician, clinic_id: UUID) -> None:
    if clinician.clinic_id != clinic_id:
        raise Refused(
            "clinician-of-another-clinic",
            f"Clinician {clinician.clinician_id} works at another clinic; choose a clinician of clinic {clinic_id}.",
        )


def _refuse_after_the_end(relationship: Relationship) -> None:
    if relationship.end is None:
        return
    detail = (
        f"Relationship {relationship.relationship_id} ended at {relationship.end.at.isoformat()} "
        f"({relationship.end.reason}), so this can no longer be noted."
    )
    if relationship.end.successor_id is not None:
        detail += f" Relationship {relationship.end.successor_id} followed it; use that one."
    raise Refused("relationship-ended", detail)


def _refuse_before_the_start(relationship: Relationship, at: Moment) -> None:
    started_at = relationship.start.started_at
    if at < started_at:
        raise Refused("before-the-start", f"at lies before the relationship's start, {started_at.isoformat()}.")
