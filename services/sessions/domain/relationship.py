"""A relationship as the sessions service knows it: a pure fold over intake's events.

Events may arrive in any order and more than once. The newest event decides each field, and of two starts at the same
moment the greater values; of the end the highest correction counts. So the result depends only on which events
occurred, not on how they arrived.
"""

from uuid import UUID

from pydantic import ConfigDict

from shared.access.clinic_id import ClinicId
from shared.clinical.ends import latest_end
from shared.errors import Rejected
from shared.events import (
    CaseCode,
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    UtcDatetime,
)
from shared.events.clock_skew import CLOCK_SKEW_TOLERANCE
from shared.runtime.model import Model


class Relationship(Model):
    """The part of a relationship that sessions need."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    relationship_id: UUID
    started_at: UtcDatetime | None = None
    """None until `RelationshipStarted` has arrived."""
    clinic_id: ClinicId | None = None
    clinician_id: UUID | None = None
    """None, as the clinic, in documents of older versions until their clinics are filled in."""
    case_code: CaseCode | None = None
    predecessor_id: UUID | None = None
    """The client's relationship with the previous clinician, after a transfer."""
    ended_at: UtcDatetime | None = None
    end_correction: int = 0
    """How often the end was corrected."""
    consent: bool = False
    """Whether the client agrees to be asked about the sessions; false until that is known."""
    consent_at: UtcDatetime | None = None
    erased_at: UtcDatetime | None = None

    def reject_before_start(self, moment: UtcDatetime) -> None:
        """Raise Rejected if `moment` is before the start of the relationship by more than CLOCK_SKEW_TOLERANCE."""
        if self.started_at is not None and moment < self.started_at - CLOCK_SKEW_TOLERANCE:
            raise Rejected(
                "before-the-start",
                f"The session is before the start of relationship {self.relationship_id}. If the client came from "
                "another clinician, enter it in the relationship before, under another id if this one is taken.",
            )

    def reject_after_end(self, moment: UtcDatetime) -> None:
        """Raise Rejected if `moment` is after the end of the relationship."""
        if self.ended_at is not None and moment > self.ended_at:
            raise Rejected(
                "relationship-ended",
                f"The session is after the end of relationship {self.relationship_id}. If the client continued with "
                "another clinician, give the session to the relationship that followed: PUT it with that "
                "relationship_id. That also moves an appointment made before. Otherwise, cancel it.",
            )


def evolve(relationship: Relationship, event: Event) -> Relationship:
    """Apply one event. Of a relationship whose client was erased, only the time of the erasure is known."""
    at = event.occurred_at
    match event:
        case ClientErased():
            return Relationship(
                relationship_id=relationship.relationship_id, erased_at=min(at, relationship.erased_at or at)
            )
        case _ if relationship.erased_at is not None:
            return relationship
        case RelationshipStarted() if _is_newer_start(event, relationship):
            start = {
                "started_at": at,
                "clinic_id": event.clinic_id,
                "clinician_id": event.clinician_id,
                "case_code": event.case_code,
                "predecessor_id": event.predecessor_id,
            }
            return relationship.model_copy(update=start)
        case RelationshipEnded() | RelationshipReopened():
            correction, ended_at = latest_end((relationship.end_correction, relationship.ended_at), event)
            return relationship.model_copy(update={"ended_at": ended_at, "end_correction": correction})
        case ConsentGiven() if _is_newer(at, relationship.consent_at):
            return relationship.model_copy(update={"consent": True, "consent_at": at})
        case ConsentWithdrawn() if _is_newer(at, relationship.consent_at) or at == relationship.consent_at:
            # If both occurred at the same time, withdrawal counts, because it protects the client.
            return relationship.model_copy(update={"consent": False, "consent_at": at})
        case _:
            return relationship


def _is_newer_start(event: RelationshipStarted, relationship: Relationship) -> bool:
    if relationship.started_at is None:
        return True
    return _start_rank(event.occurred_at, event) > _start_rank(relationship.started_at, relationship)


def _start_rank(at: UtcDatetime, start: RelationshipStarted | Relationship) -> tuple[UtcDatetime, list[str]]:
    ids = (start.predecessor_id, start.clinic_id, start.clinician_id)
    return at, [start.case_code or "", *(str(id or "") for id in ids)]


def _is_newer(at: UtcDatetime, last_known: UtcDatetime | None) -> bool:
    return last_known is None or at > last_known
