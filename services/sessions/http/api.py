"""What clinic systems tell us, and what they may ask. Every request is safe to send again."""

from typing import ClassVar, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.sessions.domain.session import By, Cancelled, FeedbackRequest, Session
from services.sessions.service import Desk, Link
from shared.clinical.instruments import INSTRUMENTS, Kind
from shared.events import Answer, InstrumentTotal, Moment, Rater
from shared.http.request_body import Body


class Appointment(Body):
    relationship_id: UUID
    starts_at: Moment
    minutes: int = Field(ge=5, le=480)


class Completion(Body):
    ended_at: Moment
    minutes: int = Field(ge=1, le=480)


class Nothing(Body):
    """`{}`: that it happened says it all."""


class Cancellation(Body):
    by: By
    cancelled_at: Moment


class KnownTotal(InstrumentTotal):
    """The total of an instrument about the alliance that we know, within its range."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    KIND: ClassVar[Kind] = "alliance"

    @model_validator(mode="after")
    def _lies_in_its_range(self) -> Self:
        instruments = {name: instrument for name, instrument in INSTRUMENTS.items() if instrument.kind == self.KIND}
        instrument = instruments.get(self.name)
        if instrument is None:
            raise ValueError(
                f"no instrument about the {self.KIND} of that name; known are {', '.join(sorted(instruments))}"
            )
        if not instrument.holds(self.total):
            raise ValueError(f"the total of {self.name} lies between {instrument.lowest:g} and {instrument.highest:g}")
        return self


class KnownOutcome(KnownTotal):
    """The total of an instrument about the outcome that we know, within its range."""

    KIND: ClassVar[Kind] = "outcome"


class GivenAnswer(Answer):
    """An answer from a paper form, an import or another questionnaire."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    instrument: KnownTotal | None = None
    outcome: KnownOutcome | None = None
    given_at: Moment

    def answer(self) -> Answer:
        return Answer.model_validate(self.model_dump(exclude={"given_at"}))


class Form(BaseModel):
    """The way to a form. The link is a secret between us and who is asked."""

    url: str
    expires_at: Moment


class Forms(BaseModel):
    session_id: UUID
    client_form: Form | None
    """None when the client has not agreed to be asked."""
    clinician_form: Form | None


class Outcome(BaseModel):
    what: Literal["completed", "missed", "cancelled"]
    ended_at: Moment | None = None
    minutes: int | None = None
    by: By | None = None
    cancelled_at: Moment | None = None


class Feedback(BaseModel):
    """Whether somebody answered; what they said is not shown here."""

    status: Literal["awaiting", "answered", "lapsed", "withdrawn"]
    due_at: Moment
    given_at: Moment | None
    amendments: int

    @classmethod
    def of(cls, request: FeedbackRequest) -> "Feedback":
        return cls.model_validate(request.model_dump())


class SessionAnswer(BaseModel):
    """A session as it is known here."""

    session_id: UUID
    relationship_id: UUID
    starts_at: Moment
    minutes: int
    outcome: Outcome | None
    feedback: dict[Rater, Feedback]

    @classmethod
    def of(cls, session: Session) -> "SessionAnswer":
        return cls.model_validate(session.model_dump())


def routes(desk: Desk, public_url: str) -> APIRouter:
    """The routes for clinic systems."""
    router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])

    @router.get("")
    async def session(session_id: UUID) -> SessionAnswer:
        """A session: its appointment, what became of it, and who has answered."""
        return SessionAnswer.of(await desk.find(session_id))

    @router.put("")
    async def schedule(session_id: UUID, body: Appointment) -> SessionAnswer:
        """Make the appointment, under an id that you choose, or move it."""
        return SessionAnswer.of(await desk.schedule(session_id, body.relationship_id, body.starts_at, body.minutes))

    @router.post("/completion")
    async def complete(session_id: UUID, body: Completion, response: Response) -> Forms:
        """The session was held. Gives the links to the forms; asked again, new ones, and the old ones stop working."""
        links = await desk.complete(session_id, body.ended_at, body.minutes)
        response.headers["Cache-Control"] = "no-store"
        return Forms(
            session_id=session_id,
            client_form=_form(public_url, links.get("client")),
            clinician_form=_form(public_url, links.get("clinician")),
        )

    @router.post("/missed")
    async def miss(session_id: UUID, _body: Nothing | None = None) -> SessionAnswer:
        """The client did not come and did not say so."""
        return SessionAnswer.of(await desk.miss(session_id))

    @router.post("/cancellation")
    async def cancel(session_id: UUID, body: Cancellation) -> SessionAnswer:
        """The session was called off."""
        cancellation = Cancelled(by=body.by, cancelled_at=body.cancelled_at)
        return SessionAnswer.of(await desk.cancel(session_id, cancellation))

    @router.put("/feedback/{rater}")
    async def take(session_id: UUID, rater: Rater, body: GivenAnswer) -> SessionAnswer:
        """An answer that was given elsewhere; a different one given later corrects it. Taken after the deadline too."""
        return SessionAnswer.of(await desk.take(session_id, rater, body.answer(), body.given_at))

    return router


def _form(public_url: str, link: Link | None) -> Form | None:
    if link is None:
        return None
    return Form(url=f"{public_url.rstrip('/')}/f/{link.token}", expires_at=link.expires_at)
