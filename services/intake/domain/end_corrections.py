"""The correction of an end that was recorded by mistake: another end, or none.

As in `relationships`, the decision is pure and idempotent. The events carry how often the end was corrected; consumers
let the highest number count.
"""

from collections.abc import Iterable

from services.intake.domain.relationship import EndCorrection, Relationship
from services.intake.domain.relationships import Decision, end_relationship, reject_second
from shared.errors import Rejected
from shared.events import RelationshipReopened, UtcDatetime

MAX_END_CORRECTIONS = 10
"""Of one relationship: each is kept in its document, and causes a refold in alliance."""


def correct_end(
    relationship: Relationship,
    correction: EndCorrection,
    now: UtcDatetime,
    open_relationships: Iterable[Relationship] = (),
) -> Decision:
    """Replace the end of a relationship, or take it back. `open_relationships` are those that the client has."""
    known = {c.correction_id: c for c in relationship.end_corrections}.get(correction.correction_id)
    if known is not None:
        return _check_same_correction(relationship, known, correction), ()
    path, end = f"/relationships/{relationship.relationship_id}", relationship.end
    if end is None:
        raise Rejected("nothing-to-correct", f"The relationship has not ended. Record its end: POST {path}/end.")
    if end.successor_id is not None and end != correction.end:
        raise Rejected(
            "relationship-transferred",
            "A transfer cannot be taken back, because the next relationship exists. Transfer the client again: "
            f"POST /relationships/{end.successor_id}/transfer.",
        )
    if len(relationship.end_corrections) >= MAX_END_CORRECTIONS:
        raise Rejected(
            "corrected-too-often",
            f"The end was corrected {MAX_END_CORRECTIONS} times, which is the most. Check the system that sends the "
            f"corrections; GET {path} shows what is recorded.",
        )
    corrections = (*relationship.end_corrections, correction)
    if end == correction.end:  # remembered, so that a late repetition does not undo a later correction
        return relationship.model_copy(update={"end_corrections": corrections}), ()
    corrected = relationship.model_copy(update={"end": None, "end_corrections": corrections})
    if correction.end is not None:
        return end_relationship(corrected, correction.end, now)
    reject_second(relationship.start.clinician_id, open_relationships)
    reopened = RelationshipReopened(
        id=relationship.derive_id(f"reopened {len(corrections)}"),
        relationship_id=relationship.relationship_id,
        occurred_at=max(now, end.at),
        correction=len(corrections),
    )
    return corrected, (reopened,)


def _check_same_correction(relationship: Relationship, known: EndCorrection, correction: EndCorrection) -> Relationship:
    if known == correction:
        return relationship
    raise Rejected(
        "correction-id-used",
        f"Correction {known.correction_id} said something else. For another correction choose a new id.",
    )
