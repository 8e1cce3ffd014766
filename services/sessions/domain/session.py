"""A session: its appointment, its outcome, and the feedback requests to client and clinician."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import ConfigDict, Field, computed_field

from shared.access.clinic_id import ClinicId
from shared.events import Answer, CollectedBy, Event, Rater, UtcDatetime
from shared.runtime.model import Model

CancelledBy = Literal["client", "clinician", "clinic"]


class StoredModel(Model):
    """An immutable part of a MongoDB document."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Completed(StoredModel):
    """The session was held."""

    what: Literal["completed"] = "completed"
    ended_at: UtcDatetime
    minutes: int


class Missed(StoredModel):
    """The client did not come and did not say so."""

    what: Literal["missed"] = "missed"


class Cancelled(StoredModel):
    """The session was cancelled."""

    what: Literal["cancelled"] = "cancelled"
    by: CancelledBy
    cancelled_at: UtcDatetime


Outcome = Annotated[Completed | Missed | Cancelled, Field(discriminator="what")]


class OutcomeCorrection(StoredModel):
    """A correction of an outcome that was recorded by mistake."""

    correction_id: UUID
    outcome: Outcome | None
    """The right outcome; None if there is none yet."""


class FeedbackRequest(StoredModel):
    """A request to one rater for feedback about a session, and its result."""

    status: Literal["awaiting", "answered", "lapsed", "withdrawn"] = "awaiting"
    """`withdrawn`: the client no longer agrees to be asked, or the session was not held; no answer means nothing."""
    due_at: UtcDatetime
    lapses_at: UtcDatetime
    """When the request lapses: `due_at`, or a little later if the session was entered after it."""
    token_hash: str | None = None
    """SHA-256 of the token in the latest link."""
    earlier_token_hashes: list[str] = Field(default_factory=list)
    """The same of the links before, which work as well."""
    expires_at: UtcDatetime | None = None
    """When all links stop working, and no new one can be had."""
    used_token_hash: str | None = None
    """SHA-256 of the token in the link that was used. It may be a link that an older version has replaced."""
    answer: Answer | None = None
    given_at: UtcDatetime | None = None
    collected_by: CollectedBy | None = None
    """How the answer, as it was last amended, came; None if an older version stored it."""
    amendments: int = 0

    @property
    def all_link_hashes(self) -> list[str]:
        """The token hashes of all links, the one that was used among them."""
        hashes = (*self.earlier_token_hashes, self.token_hash, self.used_token_hash)
        return list(dict.fromkeys(link_hash for link_hash in hashes if link_hash is not None))


class Session(StoredModel):
    """One appointment of a clinician and a client, with its outcome and feedback."""

    session_id: UUID
    relationship_id: UUID
    clinic_id: ClinicId | None = None
    """That of the relationship; None in documents of older versions until their clinics are filled in."""
    starts_at: UtcDatetime
    minutes: int
    scheduled_at: UtcDatetime
    moves: int = 0
    outcome: Outcome | None = None
    corrections: tuple[OutcomeCorrection, ...] = ()
    """Every correction of the outcome, so that a repeated request is recognized even if it arrives late."""
    feedback: dict[Rater, FeedbackRequest] = Field(default_factory=dict)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def next_lapse_at(self) -> datetime | None:
        """When the first unanswered request lapses. The timer queries it."""
        return min((r.lapses_at for r in self.feedback.values() if r.status == "awaiting"), default=None)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def link_hashes(self) -> list[str]:
        """The token hashes of the links to this session."""
        return [link_hash for request in self.feedback.values() for link_hash in request.all_link_hashes]

    def rater_of(self, link_hash: str) -> Rater | None:
        """The rater for whom the link was made; None if it is not a link to this session."""
        for rater, request in self.feedback.items():
            if link_hash in request.all_link_hashes:
                return rater
        return None

    def derive_id(self, name: str) -> UUID:
        """The id of an event about this session. The same name always gives the same id."""
        return uuid5(self.session_id, name)

    def derive_outcome_id(self, name: str) -> UUID:
        """The id of an event about the outcome, or about the feedback requested after it; one for each correction."""
        return self.derive_id(f"{name} {len(self.corrections)}" if self.corrections else name)

    def with_request(self, rater: Rater, request: FeedbackRequest) -> "Session":
        """The session with another request for one rater."""
        return self.model_copy(update={"feedback": {**self.feedback, rater: request}})


Decision = tuple[Session, Sequence[Event]]
"""A session after a decision, and the new events."""
