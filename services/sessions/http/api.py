"""The JSON API for clinic systems. Every request is idempotent."""

from typing import Annotated, Any, ClassVar, Literal, Self
from uuid import UUID

from fastapi import APIRouter
from pydantic import ConfigDict, Field, model_validator

from services.sessions.domain.session import Cancelled, CancelledBy, FeedbackRequest, OutcomeCorrection, Session
from services.sessions.service import FormLink, SessionsService
from shared.clinical.instruments import INSTRUMENTS, InstrumentKind
from shared.events import Answer, CollectedBy, InstrumentTotal, Rater, UtcDatetime
from shared.http.request_body import RequestBody, RequestedTime, WholeNumber
from shared.runtime.model import Model


class AppointmentBody(RequestBody):
    relationship_id: UUID
    starts_at: RequestedTime
    minutes: WholeNumber = Field(ge=5, le=480)


class CompletionBody(RequestBody):
    ended_at: RequestedTime
    minutes: WholeNumber = Field(ge=1, le=480)


class EmptyBody(RequestBody):
    """`{}`: the path already says everything."""


class CancellationBody(RequestBody):
    by: CancelledBy
    cancelled_at: RequestedTime


def _describe_instruments(kind: InstrumentKind) -> dict[str, Any]:
    """The names of the instruments, each with its range, as JSON Schema."""
    return {
        "anyOf": [
            {
                "properties": {
                    "name": {"const": instrument.name},
                    "total": {"minimum": instrument.min_total, "maximum": instrument.max_total},
                }
            }
            for instrument in INSTRUMENTS.values()
            if instrument.kind == kind
        ]
    }


class CompletedBody(CompletionBody):
    what: Literal["completed"]


class MissedBody(RequestBody):
    what: Literal["missed"]


class CancelledBody(CancellationBody):
    what: Literal["cancelled"]


class CorrectionBody(RequestBody):
    outcome: Annotated[CompletedBody | MissedBody | CancelledBody, Field(discriminator="what")] | None
    """The right outcome; null if the session has none yet, because its appointment stands."""


class AllianceTotalBody(InstrumentTotal):
    """The total of a known instrument for the alliance, within its range."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_describe_instruments("alliance"))

    KIND: ClassVar[InstrumentKind] = "alliance"

    @model_validator(mode="after")
    def _check_instrument_and_range(self) -> Self:
        instruments = {name: instrument for name, instrument in INSTRUMENTS.items() if instrument.kind == self.KIND}
        instrument = instruments.get(self.name)
        if instrument is None:
            raise ValueError(
                f"unknown instrument for the {self.KIND}; the known ones are {', '.join(sorted(instruments))}"
            )
        if not instrument.contains(self.total):
            raise ValueError(
                f"the total of {self.name} must be between {instrument.min_total:g} and {instrument.max_total:g}"
            )
        return self


class OutcomeTotalBody(AllianceTotalBody):
    """The total of a known instrument for the outcome, within its range."""

    model_config = ConfigDict(json_schema_extra=_describe_instruments("outcome"))

    KIND: ClassVar[InstrumentKind] = "outcome"


_CONSISTENT_ANSWER: dict[str, Any] = {
    "anyOf": [
        {"required": ["ratings"], "properties": {"ratings": {"minProperties": 1}}},
        {"required": ["instrument"], "properties": {"instrument": {"type": "object"}}},
    ],
    "allOf": [
        {
            "anyOf": [
                {"properties": {"talked_about": {"type": "null"}}},
                {"required": ["tension"], "properties": {"tension": {"enum": ["a_little", "yes"]}}},
            ]
        }
    ],
}
"""What an Answer requires besides the type of each field, as JSON Schema."""


class AnswerBody(Answer):
    """An answer from a paper form, an import or another questionnaire."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_CONSISTENT_ANSWER)

    instrument: AllianceTotalBody | None = None
    outcome: OutcomeTotalBody | None = None
    given_at: RequestedTime
    collected_by: Literal["desk", "system"] = "system"
    """Whether a person at the clinic's desk entered it, for example from paper, or another system sent it."""

    def to_answer(self) -> Answer:
        return Answer.model_validate(self.model_dump(exclude={"given_at", "collected_by"}))


class FormLinkView(Model):
    """A link to a form. The link is a secret of the person who is asked."""

    url: str
    expires_at: UtcDatetime

    @classmethod
    def of(cls, link: FormLink, public_url: str) -> "FormLinkView":
        return cls(url=f"{public_url.rstrip('/')}/f/{link.token}", expires_at=link.expires_at)


class OutcomeView(Model):
    what: Literal["completed", "missed", "cancelled"]
    ended_at: UtcDatetime | None = None
    minutes: int | None = None
    by: CancelledBy | None = None
    cancelled_at: UtcDatetime | None = None


class FeedbackView(Model):
    """The status of one rater's feedback, without the answer."""

    status: Literal["awaiting", "answered", "lapsed", "withdrawn"]
    due_at: UtcDatetime
    given_at: UtcDatetime | None
    collected_by: CollectedBy | None
    """How the answer came; null if there is none, or an older version recorded it."""
    amendments: int

    @classmethod
    def of(cls, request: FeedbackRequest) -> "FeedbackView":
        return cls.model_validate(request.model_dump())


class SessionView(Model):
    """A session, its outcome and the status of its feedback."""

    session_id: UUID
    relationship_id: UUID
    starts_at: UtcDatetime
    minutes: int
    outcome: OutcomeView | None
    feedback: dict[Rater, FeedbackView]

    @classmethod
    def of(cls, session: Session) -> "SessionView":
        return cls.model_validate(session.model_dump())


class CompletionView(SessionView):
    """A session that was held. The client's link has a route of its own."""

    clinician_form: FormLinkView | None
    """Null if the form is answered, its time is over, or it has five links, which all work until then."""

    @classmethod
    def of_completed(cls, session: Session, clinician_link: FormLink | None, public_url: str) -> "CompletionView":
        form = None if clinician_link is None else FormLinkView.of(clinician_link, public_url)
        return cls(**dict(SessionView.of(session)), clinician_form=form)


def routes(service: SessionsService, public_url: str) -> APIRouter:
    """The routes for clinic systems."""
    router = APIRouter()
    router.include_router(_session_routes(service, public_url))
    router.include_router(_correction_routes(service))
    router.include_router(_feedback_routes(service, public_url))
    return router


def _session_routes(service: SessionsService, public_url: str) -> APIRouter:
    router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])

    @router.get("")
    async def get_session(session_id: UUID) -> SessionView:
        """A session: its appointment, its outcome, and who has answered."""
        return SessionView.of(await service.get_session(None, session_id))

    @router.put("")
    async def schedule_session(session_id: UUID, body: AppointmentBody) -> SessionView:
        """Make an appointment under an id that you choose, or move it."""
        return SessionView.of(
            await service.schedule(None, session_id, body.relationship_id, body.starts_at, body.minutes)
        )

    @router.post("/completion")
    async def complete_session(session_id: UUID, body: CompletionBody) -> CompletionView:
        """Record that the session was held. Returns a link to the clinician's form; those before keep working."""
        session, clinician_link = await service.complete(None, session_id, body.ended_at, body.minutes)
        return CompletionView.of_completed(session, clinician_link, public_url)

    @router.post("/missed")
    async def mark_missed(session_id: UUID, _body: EmptyBody | None = None) -> SessionView:
        """Record that the client did not come and did not say so."""
        return SessionView.of(await service.mark_missed(None, session_id))

    @router.post("/cancellation")
    async def cancel_session(session_id: UUID, body: CancellationBody) -> SessionView:
        """Record that the session was cancelled."""
        cancellation = Cancelled(by=body.by, cancelled_at=body.cancelled_at)
        return SessionView.of(await service.cancel(None, session_id, cancellation))

    return router


def _correction_routes(service: SessionsService) -> APIRouter:
    router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])

    @router.put("/corrections/{correction_id}")
    async def correct_outcome(session_id: UUID, correction_id: UUID, body: CorrectionBody) -> SessionView:
        """Correct an outcome that was recorded by mistake, under an id that you choose: another outcome, or none.

        The signs and alerts that came from the mistake are retracted. A session that somebody has answered was held;
        only its end and its length can be corrected.
        """
        correction = OutcomeCorrection.model_validate({"correction_id": correction_id, **body.model_dump()})
        return SessionView.of(await service.correct_outcome(None, session_id, correction))

    return router


def _feedback_routes(service: SessionsService, public_url: str) -> APIRouter:
    router = APIRouter(prefix="/sessions/{session_id}", tags=["sessions"])

    @router.post("/client-link")
    async def issue_client_link(session_id: UUID, _body: EmptyBody) -> FormLinkView:
        """Get a link to the client's form, to be sent to the client and shown to nobody else.

        There are at most five for a session, until the time for the form is over; each works until the form is
        answered. Each call is logged.
        """
        return FormLinkView.of(await service.issue_client_link(None, session_id), public_url)

    @router.put("/feedback/{rater}")
    async def record_answer(session_id: UUID, rater: Rater, body: AnswerBody) -> SessionView:
        """Record an answer that was given elsewhere, also after the deadline. A different, later answer corrects it."""
        session = await service.record_answer(
            None, session_id, rater, body.to_answer(), body.given_at, body.collected_by
        )
        return SessionView.of(session)

    return router
