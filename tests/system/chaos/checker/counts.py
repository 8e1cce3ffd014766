"""What a relationship's alliance must rest on: counted one by one from what clients were told."""

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
from tests.system.chaos.checker.acknowledged import Reading
from tests.system.chaos.checker.observation import Seen
from tests.system.chaos.checker.topic_contents import Record
from tests.system.smoke.checker import Counted, differences

Form = tuple[UUID, Rater]


@dataclass
class History:
    """What was told of one relationship."""

    held: set[UUID] = field(default_factory=set)
    missed: set[UUID] = field(default_factory=set)
    cancelled: set[UUID] = field(default_factory=set)
    words: list[tuple[datetime, bool]] = field(default_factory=list)
    """When the client agreed, and when no longer; withdrawn is True, so that it counts of two words at once."""
    first: dict[Form, FeedbackSubmitted] = field(default_factory=dict)
    last: dict[Form, tuple[datetime, Answer]] = field(default_factory=dict)
    lapsed: dict[UUID, datetime] = field(default_factory=dict)

    def note(self, event: Event) -> None:
        """Take a fact in; those of one form come in the order of their times."""
        match event:
            case SessionCompleted():
                self.held.add(event.session_id)
            case SessionMissed():
                self.missed.add(event.session_id)
            case SessionCancelled():
                self.cancelled.add(event.session_id)
            case ConsentGiven() | ConsentWithdrawn():
                self.words.append((event.occurred_at, isinstance(event, ConsentWithdrawn)))
            case FeedbackSubmitted():
                self.first[event.session_id, event.rater] = event
                self.last[event.session_id, event.rater] = (event.occurred_at, event)
            case FeedbackAmended():
                self.last[event.session_id, event.rater] = (event.occurred_at, event)
            case FeedbackLapsed(rater="client"):
                self.lapsed[event.session_id] = event.occurred_at

    def watched_at(self, moment: datetime) -> bool:
        """Whether the client agreed by then: nothing is scored otherwise."""
        withdrawals = [withdrawn for at, withdrawn in sorted(self.words) if at <= moment]
        return bool(withdrawals) and not withdrawals[-1]

    def counted(self) -> Counted:
        scores = {form: score(self.last[form][1]) for form in self.first}
        counted_forms = [form for form, first in self.first.items() if self.watched_at(first.occurred_at)]
        unanswered_count = sum(
            self.watched_at(lapsed_at) and not self._heard_before(session, lapsed_at, counted_forms)
            for session, lapsed_at in self.lapsed.items()
        )
        return Counted(
            held=len(self.held),
            missed=len(self.missed),
            cancelled=len(self.cancelled),
            said=scores,
            rated=Counter(rater for _, rater in counted_forms),
            unanswered=range(unanswered_count, unanswered_count + 1),
        )

    def _heard_before(self, session: UUID, lapsed: datetime, watched: Iterable[Form]) -> bool:
        form: Form = (session, "client")
        return form in watched and self.first[form].occurred_at <= lapsed


def score(answer: Answer) -> float:
    """From 0 to 100."""
    if answer.ratings:
        return 10 * sum(answer.ratings.values()) / len(answer.ratings)
    assert answer.instrument
    instrument = INSTRUMENTS[answer.instrument.name]
    return 100 * (answer.instrument.total - instrument.lowest) / (instrument.highest - instrument.lowest)


def histories(history: Reading, injected: Iterable[Event], record: Record) -> dict[UUID, History]:
    """Of every relationship that was told of.

    Two things are the server's word, and read off the topics: when a form was filled in, and that its time ran out.
    """
    submitted_by_form = {
        (submitted_event.session_id, submitted_event.rater): submitted_event
        for submitted_event in record.facts.values()
        if isinstance(submitted_event, FeedbackSubmitted)
    }
    lapsed_events = [event for event in record.facts.values() if isinstance(event, FeedbackLapsed)]
    counts = defaultdict[UUID, History](History)
    events: list[Event] = [*injected, *lapsed_events]
    for expected in history.told:
        event = expected.fact
        if isinstance(event, FeedbackSubmitted) and (
            submitted := submitted_by_form.get((event.session_id, event.rater))
        ):
            event = event.model_copy(update={"occurred_at": submitted.occurred_at})
        events.append(event)
    for event in sorted(events, key=lambda event: event.occurred_at):
        if event.KEY == "relationship_id":
            counts[event.key].note(event)
    return dict(counts)


def amiss(told: dict[UUID, History], seen: Seen) -> list[str]:
    """Relationships whose alliance, as people are shown it, does not rest on exactly what was told."""
    problems = []
    for relationship, expected in told.items():
        alliance, trajectory = seen.alliances.get(relationship), seen.trajectories.get(relationship)
        if alliance is None or trajectory is None:
            problems.append(f"{relationship}: is not known")
        elif difference := differences(alliance, trajectory["points"], expected.counted()):
            problems.append(f"{relationship}: {difference}")
    return problems
