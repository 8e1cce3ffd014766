"""Events that sessions publishes about feedback: requested, submitted, amended, or lapsed."""

from typing import ClassVar, Literal, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from shared.events.model import (
    Code,
    CollectedBy,
    Correction,
    Element,
    Language,
    Rater,
    Rating,
    RelationshipEvent,
    TalkedAbout,
    Tension,
    UtcDatetime,
)
from shared.events.topics import FEEDBACK, Topic
from shared.runtime.model import Model


class InstrumentTotal(Model):
    """The total of a published questionnaire for which the clinic holds a licence."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    name: Code
    total: float = Field(strict=True, ge=0, le=1000, allow_inf_nan=False)


class Answer(Model):
    """How the session felt to one of the two: ratings of the elements, or the total of an instrument, or both."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    ratings: dict[Element, Rating] = Field(default_factory=dict)
    instrument: InstrumentTotal | None = None
    tension: Tension | None = None
    """Was there a moment of tension or misunderstanding between the two?"""
    talked_about: TalkedAbout | None = None
    """Was that moment talked about?"""
    outcome: InstrumentTotal | None = None
    """How the client fares, by an outcome questionnaire; kept apart from how the two work together."""
    language: Language | None = None
    """The language of the form; null if it is not known, as in events of older versions."""

    @model_validator(mode="after")
    def _require_consistency(self) -> Self:
        if not self.ratings and self.instrument is None:
            raise ValueError("contains neither a rating nor the total of an instrument")
        if self.talked_about is not None and self.tension not in ("a_little", "yes"):
            raise ValueError("reports that a tension was talked about, but not that there was one")
        return self


class FeedbackEvent(RelationshipEvent):
    """Something that happened to the feedback of one of the two on one session."""

    TOPIC: ClassVar[Topic] = FEEDBACK

    session_id: UUID
    rater: Rater


class FeedbackRequested(FeedbackEvent):
    """One of the two was asked how the session felt."""

    type: Literal["clinic.feedback.requested.v1"] = "clinic.feedback.requested.v1"
    due_at: UtcDatetime


class FeedbackSubmitted(FeedbackEvent, Answer):
    """One of the two said how the session felt."""

    type: Literal["clinic.feedback.submitted.v1"] = "clinic.feedback.submitted.v1"
    recorded_at: UtcDatetime | None = None
    """When its sender was told that it is stored; `occurred_at` is when it was given, which may be hours before."""
    collected_by: CollectedBy | None = None
    """How the answer came; null in events of older versions."""


class FeedbackAmended(FeedbackEvent, Answer):
    """One of the two corrected an answer; the event has the whole new answer, not the difference."""

    type: Literal["clinic.feedback.amended.v1"] = "clinic.feedback.amended.v1"
    amends: UUID
    """The id of the `FeedbackSubmitted` that is corrected."""
    recorded_at: UtcDatetime | None = None
    """When its sender was told that it is stored."""
    collected_by: CollectedBy | None = None
    """How the answer came; null in events of older versions."""


class FeedbackLapsed(FeedbackEvent):
    """One of the two was asked and did not answer in time; it occurred when the time was up."""

    type: Literal["clinic.feedback.lapsed.v1"] = "clinic.feedback.lapsed.v1"
    correction: Correction = 0
    """How often the session's outcome had been corrected by then. It means nothing once a later correction says that
    the session was not held, or not yet."""
    source_gap: bool = False
    """Whether the clinic's scheduling source was stale then. The silence counts for nothing, unless it is published
    again with a higher correction and without a gap."""
