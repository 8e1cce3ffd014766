"""The counts on which a relationship's alliance must be based, counted from the acknowledged history."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from shared.clinical.instruments import INSTRUMENTS
from shared.events import (
    Answer,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    Rater,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)
from tests.system.chaos.checker.acknowledged.history import AcknowledgedHistory
from tests.system.chaos.checker.observation import ObservedState
from tests.system.chaos.checker.topic_contents import TopicContents
from tests.system.smoke.checker import ExpectedCounts, describe_differences

FormKey = tuple[UUID, Rater]


@dataclass
class RelationshipCounts:
    """What was acknowledged about one relationship."""

    held: set[UUID] = field(default_factory=set)
    missed: set[UUID] = field(default_factory=set)
    cancelled: set[UUID] = field(default_factory=set)
    consent_changes: list[tuple[datetime, bool]] = field(default_factory=list)
    """When consent was given (False) or withdrawn (True); sorting puts a withdrawal at the same moment last."""
    first_answers: dict[FormKey, FeedbackSubmitted] = field(default_factory=dict)
    latest_answers: dict[FormKey, tuple[datetime, Answer]] = field(default_factory=dict)
    lapses: dict[UUID, datetime] = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """Count an event. Events of one form must be added in the order in which they occurred."""
        match event:
            case SessionCompleted():
                self.held.add(event.session_id)
            case SessionMissed():
                self.missed.add(event.session_id)
            case SessionCancelled():
                self.cancelled.add(event.session_id)
            case ConsentGiven() | ConsentWithdrawn():
                self.consent_changes.append((event.occurred_at, isinstance(event, ConsentWithdrawn)))
            case FeedbackSubmitted():
                self.first_answers[event.session_id, event.rater] = event
                self.latest_answers[event.session_id, event.rater] = (event.occurred_at, event)
            case FeedbackAmended():
                self.latest_answers[event.session_id, event.rater] = (event.occurred_at, event)
            case FeedbackLapsed(rater="client"):
                self.lapses[event.session_id] = event.occurred_at

    def has_consent_at(self, moment: datetime) -> bool:
        """Whether the client consented at `moment`; without consent nothing is scored."""
        withdrawals = [withdrawn for at, withdrawn in sorted(self.consent_changes) if at <= moment]
        return bool(withdrawals) and not withdrawals[-1]

    def expected_counts(self) -> ExpectedCounts:
        scores = {form: score(self.latest_answers[form][1]) for form in self.first_answers}
        counted_forms = [form for form, first in self.first_answers.items() if self.has_consent_at(first.occurred_at)]
        unanswered_count = sum(
            self.has_consent_at(lapsed_at) and not self._is_answered_before(session, lapsed_at, counted_forms)
            for session, lapsed_at in self.lapses.items()
        )
        return ExpectedCounts(
            held=len(self.held),
            missed=len(self.missed),
            cancelled=len(self.cancelled),
            scores=scores,
            counted_answers=Counter(rater for _, rater in counted_forms),
            unanswered_range=range(unanswered_count, unanswered_count + 1),
        )

    def _is_answered_before(self, session: UUID, lapsed_at: datetime, counted_forms: Iterable[FormKey]) -> bool:
        form: FormKey = (session, "client")
        return form in counted_forms and self.first_answers[form].occurred_at <= lapsed_at


def score(answer: Answer) -> float:
    """The score of an answer, from 0 to 100."""
    if answer.ratings:
        return 10 * sum(answer.ratings.values()) / len(answer.ratings)
    assert answer.instrument
    instrument = INSTRUMENTS[answer.instrument.name]
    return 100 * (answer.instrument.total - instrument.min_total) / (instrument.max_total - instrument.min_total)


def counts_by_relationship(
    history: AcknowledgedHistory, injected_events: Iterable[Event], contents: TopicContents
) -> dict[UUID, RelationshipCounts]:
    """The counts of every acknowledged relationship.

    Two values are chosen by the server and read from the topics: when a form was submitted, and that it lapsed.
    """
    submitted_by_form = {
        (submitted_event.session_id, submitted_event.rater): submitted_event
        for submitted_event in contents.source_events.values()
        if isinstance(submitted_event, FeedbackSubmitted)
    }
    lapsed_events = [event for event in contents.source_events.values() if isinstance(event, FeedbackLapsed)]
    counts = defaultdict[UUID, RelationshipCounts](RelationshipCounts)
    events: list[Event] = [*injected_events, *lapsed_events]
    for expected in history.expected_events:
        event = expected.event
        if isinstance(event, FeedbackSubmitted) and (
            submitted := submitted_by_form.get((event.session_id, event.rater))
        ):
            event = event.model_copy(update={"occurred_at": submitted.occurred_at})
        events.append(event)
    for event in sorted(events, key=lambda event: event.occurred_at):
        if event.KEY == "relationship_id":
            counts[event.key].add(event)
    return dict(counts)


def score_differences(counts: dict[UUID, RelationshipCounts], observed: ObservedState) -> list[str]:
    """Relationships whose displayed alliance is not based on exactly what was acknowledged."""
    problems = []
    for relationship, expected in counts.items():
        alliance, trajectory = observed.alliances.get(relationship), observed.trajectories.get(relationship)
        if alliance is None or trajectory is None:
            problems.append(f"{relationship}: unknown")
        elif difference := describe_differences(alliance, trajectory["points"], expected.expected_counts()):
            problems.append(f"{relationship}: {difference}")
    return problems
