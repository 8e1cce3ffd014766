"""Builds the events of one relationship."""

from datetime import UTC, datetime, timedelta
from typing import TypeVar, get_args
from uuid import UUID, uuid4, uuid5

from shared.events import (
    AlertReopened,
    AlertResolved,
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    DispositionKind,
    Element,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    InstrumentTotal,
    Rater,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionReinstated,
    TalkedAbout,
    Tension,
)
from shared.events.intake import EndReason

ELEMENTS: tuple[Element, ...] = get_args(Element)
CorrectedT = TypeVar(
    "CorrectedT",
    SessionCompleted,
    SessionMissed,
    SessionCancelled,
    SessionReinstated,
    RelationshipEnded,
    FeedbackLapsed,
)
FIRST_SESSION_AT = datetime(2026, 1, 5, 10, tzinfo=UTC)


class RelationshipBuilder:
    """Builds the events of a relationship with one session a week; all ids derive from that of the relationship."""

    def __init__(self, relationship_id: UUID | None = None, first_session_at: datetime = FIRST_SESSION_AT) -> None:
        self.relationship_id = relationship_id or uuid4()
        self.first_session_at = first_session_at

    def session_id(self, week: int) -> UUID:
        return uuid5(self.relationship_id, f"session {week}")

    def at(self, week: float) -> datetime:
        return self.first_session_at + timedelta(weeks=week)

    def started(self) -> RelationshipStarted:
        return RelationshipStarted(
            id=uuid5(self.relationship_id, "started"),
            occurred_at=self.first_session_at - timedelta(days=3),
            relationship_id=self.relationship_id,
            clinic_id=uuid5(self.relationship_id, "clinic"),
            clinician_id=uuid5(self.relationship_id, "clinician"),
            client_id=uuid5(self.relationship_id, "client"),
            case_code="AB-12",
            aims=("coping",),
            cadence_days=7,
        )

    def ended(self, week: float, reason: EndReason = "completed") -> RelationshipEnded:
        return RelationshipEnded(
            id=uuid5(self.relationship_id, "ended"),
            occurred_at=self.at(week),
            relationship_id=self.relationship_id,
            reason=reason,
        )

    def erased(self, week: float) -> ClientErased:
        return ClientErased(
            id=uuid5(self.relationship_id, "erased"),
            occurred_at=self.at(week),
            relationship_id=self.relationship_id,
            client_id=uuid5(self.relationship_id, "client"),
        )

    def consent_changed(self, week: float, given: bool) -> ConsentGiven | ConsentWithdrawn:
        event_type = ConsentGiven if given else ConsentWithdrawn
        return event_type(
            id=uuid5(self.relationship_id, f"consent {week}"),
            occurred_at=self.at(week),
            relationship_id=self.relationship_id,
        )

    def completed(self, week: int, minutes: int = 50) -> SessionCompleted:
        return SessionCompleted(
            id=uuid5(self.session_id(week), "completed"),
            occurred_at=self.at(week),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
            minutes=minutes,
            planned_minutes=50,
        )

    def missed(self, week: int) -> SessionMissed:
        return SessionMissed(
            id=uuid5(self.session_id(week), "missed"),
            occurred_at=self.at(week),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
        )

    def cancelled(self, week: int, notice_hours: float = 3) -> SessionCancelled:
        return SessionCancelled(
            id=uuid5(self.session_id(week), "cancelled"),
            occurred_at=self.at(week) - timedelta(hours=notice_hours),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
            by="client",
            notice_hours=notice_hours,
        )

    def reinstated(self, week: int) -> SessionReinstated:
        return SessionReinstated(
            id=uuid5(self.session_id(week), "reinstated"),
            occurred_at=self.at(week + 0.4),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
            starts_at=self.at(week),
            minutes=50,
        )

    def reopened(self, week: float, correction: int = 1) -> RelationshipReopened:
        return RelationshipReopened(
            id=uuid5(self.relationship_id, f"reopened {correction}"),
            occurred_at=self.at(week),
            relationship_id=self.relationship_id,
            correction=correction,
        )

    def corrected(self, event: CorrectedT, correction: int, week: float = 0) -> CorrectedT:
        """The outcome or end as a correction that was recorded in this week; of a lapse, after that correction."""
        recorded = None if isinstance(event, FeedbackLapsed) else {"recorded_at": self.at(week)}
        return event.model_copy(
            update={"id": uuid5(event.id, f"{correction}"), "correction": correction, **(recorded or {})}
        )

    def feedback(
        self,
        week: int,
        rating: float = 9,
        rater: Rater = "client",
        tension: Tension | None = "none",
        talked_about: TalkedAbout | None = None,
        **elements: float,
    ) -> FeedbackSubmitted:
        return FeedbackSubmitted(
            id=uuid5(self.session_id(week), f"feedback {rater}"),
            occurred_at=self.at(week) + timedelta(hours=2 if rater == "client" else 1),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
            rater=rater,
            ratings={**dict.fromkeys(ELEMENTS, rating), **elements},
            tension=tension,
            talked_about=talked_about,
        )

    def instrument_total(self, week: int, name: str, total: float) -> FeedbackSubmitted:
        return FeedbackSubmitted(
            id=uuid5(self.session_id(week), "feedback client"),
            occurred_at=self.at(week) + timedelta(hours=2),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
            rater="client",
            instrument=InstrumentTotal(name=name, total=total),
        )

    def with_outcome(self, feedback: FeedbackSubmitted, total: float, name: str = "ors") -> FeedbackSubmitted:
        """The same answer, with how the client fares."""
        return feedback.model_copy(update={"outcome": InstrumentTotal(name=name, total=total)})

    def amended(self, week: int, rating: float, days_later: float = 1, rater: Rater = "client") -> FeedbackAmended:
        original = self.feedback(week, rater=rater)
        return FeedbackAmended(
            id=uuid5(original.id, f"amended {days_later}"),
            occurred_at=original.occurred_at + timedelta(days=days_later),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
            rater=rater,
            ratings=dict.fromkeys(ELEMENTS, rating),
            tension="none",
            amends=original.id,
        )

    def lapsed(self, week: int) -> FeedbackLapsed:
        return FeedbackLapsed(
            id=uuid5(self.session_id(week), "lapsed client"),
            occurred_at=self.at(week) + timedelta(days=3),
            relationship_id=self.relationship_id,
            session_id=self.session_id(week),
            rater="client",
        )

    def resolved(self, episode_id: UUID, week: float, disposition: DispositionKind | None = None) -> AlertResolved:
        return AlertResolved(
            id=uuid5(episode_id, f"resolved {week}"),
            occurred_at=self.at(week),
            relationship_id=self.relationship_id,
            alert_id=uuid5(episode_id, "alert"),
            episode_id=episode_id,
            clinician_id=self.started().clinician_id,
            disposition=disposition,
        )

    def taken_back(self, resolved: AlertResolved, week: float) -> AlertReopened:
        return AlertReopened(
            id=resolved.derive_id(f"reopened {week}"),
            occurred_at=self.at(week),
            severity="concern",
            disposition_id=resolved.id,
            **resolved.model_dump(include={"relationship_id", "alert_id", "episode_id", "clinician_id"}),
        )
