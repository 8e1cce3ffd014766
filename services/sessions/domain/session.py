"""A session: its appointment, its outcome, and the feedback requests to client and clinician."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID, uuid5

from pydantic import ConfigDict, Field, computed_field

from shared.events import Answer, Event, Rater, UtcDatetime
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


class FeedbackRequest(StoredModel):
    """A request to one rater for feedback about a session, and its result."""

    status: Literal["awaiting", "answered", "lapsed", "withdrawn"] = "awaiting"
    """`withdrawn`: the client no longer agrees to be asked, so a missing answer means nothing."""
    due_at: UtcDatetime
    lapses_at: UtcDatetime
    """When the request lapses: `due_at`, or a little later if the session was entered after it."""
    token_hash: str | None = None
    """SHA-256 of the token in the current link."""
    expires_at: UtcDatetime | None = None
    used_token_hash: str | None = None
    """SHA-256 of the token in the link that was used, so that the same answer sent again is recognized."""
    answer: Answer | None = None
    given_at: UtcDatetime | None = None
    amendments: int = 0


class Session(StoredModel):
    """One appointment of a clinician and a client, with its outcome and feedback."""

    session_id: UUID
    relationship_id: UUID
    starts_at: UtcDatetime
    minutes: int
    scheduled_at: UtcDatetime
    moves: int = 0
    outcome: Outcome | None = None
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
        return [h for r in self.feedback.values() for h in (r.token_hash, r.used_token_hash) if h is not None]

    def rater_of(self, link_hash: str) -> Rater | None:
        """The rater for whom the link was made; None if it is not, or no longer, a link to this session."""
        for rater, request in self.feedback.items():
            if link_hash in (request.token_hash, request.used_token_hash):
                return rater
        return None

    def derive_id(self, name: str) -> UUID:
        """The id of an event about this session. The same name always gives the same id."""
        return uuid5(self.session_id, name)

    def with_request(self, rater: Rater, request: FeedbackRequest) -> "Session":
        """The session with another request for one rater."""
        return self.model_copy(update={"feedback": {**self.feedback, rater: request}})


Decision = tuple[Session, Sequence[Event]]
"""A session after a decision, and the new events."""
