"""Who works with whom: relationships, from their start to their end or transfer.

The decisions are pure. Each takes a relationship and a request, and returns the relationship afterwards and the new
events, or raises Rejected. A repeated request changes nothing and gives no events, even if more has happened since.
Event ids are derived from the relationship's id.
"""

from collections.abc import Iterable, Sequence
from uuid import UUID

from services.intake.domain.people import Client, Clinician, not_found
from services.intake.domain.relationship import AimsAgreement, Consent, End, Relationship, Start
from shared.errors import Rejected
from shared.events import (
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
    UtcDatetime,
)
from shared.events.clock_skew import reject_future

MAX_AGREEMENTS = 200
"""On the aims of one relationship, each stored in its document: one a week for almost four years."""
MAX_CONSENTS_GIVEN = 100
"""In one relationship, each stored in its document: a change of mind every week for almost two years."""

Decision = tuple[Relationship, Sequence[Event]]


def start_relationship(
    before: Relationship | None,
    relationship_id: UUID,
    start: Start,
    clinician: Clinician | None,
    client: Client,
    now: UtcDatetime,
    open_relationships: Iterable[Relationship] = (),
) -> Decision:
    """Start a relationship. `open_relationships` are those that the client has.

    `clinician` is None if none of the clinic has the id of `start`: the clinician may have moved since the start.
    """
    if before is not None:
        return _check_same_start(before, start), ()
    reject_future("started_at", start.started_at, now)
    if client.clinic_id != start.clinic_id:
        raise not_found("client", client.client_id)
    if clinician is None or clinician.clinic_id != start.clinic_id:
        raise not_found("clinician", start.clinician_id)
    reject_second(start.clinician_id, open_relationships)
    return _start(relationship_id, start)


def _start(relationship_id: UUID, start: Start) -> Decision:
    relationship = Relationship(
        relationship_id=relationship_id,
        start=start,
        agreements=(AimsAgreement(aims=start.aims, agreed_at=start.started_at),),
    )
    started = RelationshipStarted(
        id=relationship.derive_id("started"),
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
    relationship, consent_given = _add_consent_change(relationship, Consent(given=True, at=start.started_at))
    return relationship, (started, consent_given)


def update_aims(relationship: Relationship, agreement: AimsAgreement, now: UtcDatetime) -> Decision:
    """Record that client and clinician agreed on new aims."""
    if agreement in relationship.agreements:
        return relationship, ()
    _reject_after_end(relationship)
    reject_future("agreed_at", agreement.agreed_at, now)
    last = relationship.agreements[-1]
    if agreement.agreed_at <= last.agreed_at:
        raise Rejected("agreed-since", "The aims were agreed on at that time or later; agreed_at must be later still.")
    if len(relationship.agreements) >= MAX_AGREEMENTS:
        raise Rejected(
            "too-many-agreements",
            f"Relationship {relationship.relationship_id} has {MAX_AGREEMENTS} agreements on aims, which is the limit. "
            "The last one counts. Check whether a system sends different aims in turn.",
        )
    after = relationship.model_copy(update={"agreements": (*relationship.agreements, agreement)})
    updated = RelationshipAimsUpdated(
        id=after.derive_id(f"aims {len(after.agreements)}"),
        relationship_id=after.relationship_id,
        occurred_at=agreement.agreed_at,
        aims=agreement.aims,
    )
    return after, (updated,)


def change_consent(relationship: Relationship, consent_change: Consent, now: UtcDatetime) -> Decision:
    """Record that the client gives or withdraws consent to be asked about the sessions."""
    reject_future("at", consent_change.at, now)
    _reject_before_start(relationship, consent_change.at)
    if consent_change in relationship.consents or _is_already_known(relationship, consent_change):
        return relationship, ()
    _reject_after_end(relationship)
    last = relationship.consents[-1] if relationship.consents else None
    # Consent ticked by mistake can be withdrawn as of that moment: withdrawal counts, because it protects the client.
    withdraws_at_once = last is not None and last.given and not consent_change.given and consent_change.at == last.at
    if last is not None and consent_change.at <= last.at and not withdraws_at_once:
        raise Rejected("said-since", "Consent was changed at that time or later; a new change must be later still.")
    if consent_change.given:
        _reject_too_many_consents(relationship)
    after, event = _add_consent_change(relationship, consent_change)
    return after, (event,)


def end_relationship(relationship: Relationship, ending: End, now: UtcDatetime) -> Decision:
    """Record the end of a relationship."""
    if relationship.end == ending:
        return relationship, ()
    _reject_after_end(relationship)
    reject_future("at", ending.at, now)
    _reject_before_start(relationship, ending.at)
    corrections = len(relationship.end_corrections)
    ended = RelationshipEnded(
        id=relationship.derive_id(f"ended {corrections}" if corrections else "ended"),
        relationship_id=relationship.relationship_id,
        occurred_at=ending.at,
        reason=ending.reason,
        successor_id=ending.successor_id,
        correction=corrections,
        recorded_at=now if corrections else None,
    )
    return relationship.model_copy(update={"end": ending}), (ended,)


def end_for_transfer(
    relationship: Relationship, successor_id: UUID, successor_clinician: Clinician, at: UtcDatetime, now: UtcDatetime
) -> Decision:
    """End a relationship because the client continues with another clinician; `start_successor` is the other half."""
    if successor_id == relationship.relationship_id:
        raise Rejected("same-relationship", "The relationship that follows needs its own id.")
    if successor_clinician.clinician_id == relationship.start.clinician_id:
        raise Rejected("same-clinician", f"The client already works with clinician {successor_clinician.clinician_id}.")
    return end_relationship(relationship, End(reason="transferred", at=at, successor_id=successor_id), now)


def start_successor(
    before: Relationship | None,
    ended: Relationship,
    successor_clinician: Clinician,
    open_relationships: Iterable[Relationship] = (),
) -> Decision:
    """Start the relationship that follows a transfer, with the same aims, cadence and consent."""
    ending = ended.end
    if ending is None or ending.successor_id is None:
        raise ValueError("the relationship was not ended by a transfer")
    start = ended.start.model_copy(
        update={
            "clinician_id": successor_clinician.clinician_id,
            "started_at": ending.at,
            "aims": ended.aims,
            "consent": ended.consent,
            "predecessor_id": ended.relationship_id,
        }
    )
    client = Client(client_id=start.client_id, clinic_id=start.clinic_id, case_code=start.case_code)
    return start_relationship(
        before, ending.successor_id, start, successor_clinician, client, ending.at, open_relationships
    )


def _add_consent_change(relationship: Relationship, consent_change: Consent) -> tuple[Relationship, Event]:
    after = relationship.model_copy(update={"consents": (*relationship.consents, consent_change)})
    event_type = ConsentGiven if consent_change.given else ConsentWithdrawn
    event = event_type(
        id=after.derive_id(f"consent {len(after.consents)}"),
        relationship_id=after.relationship_id,
        occurred_at=consent_change.at,
    )
    return after, event


def _reject_too_many_consents(relationship: Relationship) -> None:
    """There is no limit for withdrawals: they protect the client, and each follows a consent."""
    if sum(consent.given for consent in relationship.consents) >= MAX_CONSENTS_GIVEN:
        raise Rejected(
            "too-many-consents",
            f"Consent was given {MAX_CONSENTS_GIVEN} times in relationship {relationship.relationship_id}, which is "
            "the limit. Check whether a system gives and withdraws it in turn. If the client does agree, end the "
            "relationship and start it again under another id.",
        )


def _is_already_known(relationship: Relationship, consent_change: Consent) -> bool:
    """Whether this consent was already known for that time. Nothing is known about the time after the end."""
    if relationship.end is not None and consent_change.at > relationship.end.at:
        return False
    consent_until_then = [consent.given for consent in relationship.consents if consent.at <= consent_change.at]
    return consent_change.given == (bool(consent_until_then) and consent_until_then[-1])


def _check_same_start(before: Relationship, start: Start) -> Relationship:
    """Return `before`, or raise Rejected if `start` differs from its start.

    A start without a predecessor also matches the start of a successor, because only a transfer sets `predecessor_id`.
    """
    compared_fields = set(Start.model_fields) - ({"predecessor_id"} if start.predecessor_id is None else set())
    different_fields = [
        name
        for name in Start.model_fields
        if name in compared_fields and getattr(before.start, name) != getattr(start, name)
    ]
    if not different_fields:
        return before
    raise Rejected(
        "started-otherwise",
        f"Relationship {before.relationship_id} is known with another {', '.join(different_fields)}, and its start "
        "cannot change. For a new relationship choose a new id. For new aims, another consent or another clinician "
        "there are separate requests.",
    )


def reject_second(clinician_id: UUID, open_relationships: Iterable[Relationship]) -> None:
    """Raise Rejected if the client already works with the clinician.

    Two relationships of the same people would split the client's ratings, and alerts would come late.
    """
    for relationship in open_relationships:
        if relationship.start.clinician_id == clinician_id:
            raise Rejected(
                "already-together",
                f"Clinician and client already work together in relationship {relationship.relationship_id}; use that "
                "one. If they began anew, end it first.",
            )


def _reject_after_end(relationship: Relationship) -> None:
    if relationship.end is None:
        return
    detail = f"Relationship {relationship.relationship_id} has ended, so this can no longer be recorded."
    if relationship.end.successor_id is None:
        path = f"/relationships/{relationship.relationship_id}/end/corrections"
        detail += f" If that is a mistake, correct it: PUT {path}/{{an id you choose}}."
    else:
        detail += f" Relationship {relationship.end.successor_id} followed it; use that one."
    raise Rejected("relationship-ended", detail)


def _reject_before_start(relationship: Relationship, at: UtcDatetime) -> None:
    if at < relationship.start.started_at:
        raise Rejected("before-the-start", "at is before the relationship's start.")
