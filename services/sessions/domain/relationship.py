"""What sessions knows of a relationship: a pure fold over what intake tells.

Events come in any order and more than once; each field keeps the newest word on it, so that what is known in the
end depends on what was told and not on how it arrived.
"""

from uuid import UUID

from pydantic import BaseModel, ConfigDict

from shared.errors import Rejected
from shared.events import (
    CaseCode,
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipEnded,
    RelationshipStarted,
    UtcDatetime,
)
from shared.events.clock_skew import CLOCK_SKEW_TOLERANCE


class Relationship(BaseModel):
    """A therapist and a client, as far as their sessions are concerned."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    relationship_id: UUID
    started_at: UtcDatetime | None = None
    """None as long as only later events have arrived."""
    case_code: CaseCode | None = None
    ended_at: UtcDatetime | None = None
    consent: bool = False
    """Whether the client agrees to be asked; nobody is asked before that is known."""
    consent_at: UtcDatetime | None = None
    erased_at: UtcDatetime | None = None

    def reject_before_start(self, moment: UtcDatetime) -> None:
        """Raises Refused for what lies before the start of the relationship by more than clocks are apart."""
        if self.started_at is not None and moment < self.started_at - CLOCK_SKEW_TOLERANCE:
            raise Rejected(
                "before-the-start",
                f"Relationship {self.relationship_id} started at {self.started_at.isoformat()}, and the session lies "
                "before that. If the client came from another clinician, use the relationship that went before.",
            )

    def reject_after_end(self, moment: UtcDatetime) -> None:
        """Raises Refused for what lies after the end of the relationship."""
        if self.ended_at is not None and moment > self.ended_at:
            raise Rejected(
                "relationship-ended",
                f"Relationship {self.relationship_id} ended at {self.ended_at.isoformat()}, and the session lies after "
                "that. If the client went on with another clinician, use the relationship that followed.",
            )


def evolve(relationship: Relationship, event: Event) -> Relationship:
    """Take in what was told; once erased, a relationship is no more than the fact that it was."""
    at = event.occurred_at
    match event:
        case ClientErased():
            return Relationship(
                relationship_id=relationship.relationship_id, erased_at=min(at, relationship.erased_at or at)
            )
        case _ if relationship.erased_at is not None:
            return relationship
        case RelationshipStarted() if _is_newer(at, relationship.started_at):
            return relationship.model_copy(update={"started_at": at, "case_code": event.case_code})
        case RelationshipEnded() if _is_newer(at, relationship.ended_at):
            return relationship.model_copy(update={"ended_at": at})
        case ConsentGiven() if _is_newer(at, relationship.consent_at):
            return relationship.model_copy(update={"consent": True, "consent_at": at})
        case ConsentWithdrawn() if _is_newer(at, relationship.consent_at) or at == relationship.consent_at:
            # Of two words at the same moment, the one that protects the client counts.
            return relationship.model_copy(update={"consent": False, "consent_at": at})
        case _:
            return relationship


def _is_newer(at: UtcDatetime, last_known: UtcDatetime | None) -> bool:
    return last_known is None or at > last_known
