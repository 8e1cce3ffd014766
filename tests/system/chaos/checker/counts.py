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

    def note(self, fact: Event) -> None:
        """Take a fact in; those of one form come in the order of their times."""
        match fact:
            case SessionCompleted():
                self.held.add(fact.session_id)
            case SessionMissed():
                self.missed.add(fact.session_id)
            case SessionCancelled():
                self.cancelled.add(fact.session_id)
            case ConsentGiven() | ConsentWithdrawn():
                self.words.append((fact.occurred_at, isinstance(fact, ConsentWithdrawn)))
            case FeedbackSubmitted():
                self.first[fact.session_id, fact.rater] = fact
                self.last[fact.session_id, fact.rater] = (fact.occurred_at, fact)
            case FeedbackAmended():
                self.last[fact.session_id, fact.rater] = (fact.occurred_at, fact)
            case FeedbackLapsed(rater="client"):
                self.lapsed[fact.session_id] = fact.occurred_at

    def watched_at(self, moment: datetime) -> bool:
        """Whether the client agreed by then: nothing is scored otherwise."""
        said = [withdrawn for at, withdrawn in sorted(self.words) if at <= moment]
        return bool(said) and not said[-1]

    def counted(self) -> Counted:
        scores = {form: score(self.last[form][1]) for form in self.first}
        watched = [form for form, first in self.first.items() if self.watched_at(first.occurred_at)]
        silent = sum(
            self.watched_at(at) and not self._heard_before(session, at, watched) for session, at in self.lapsed.items()
        )
        return Counted(
            held=len(self.held),
            missed=len(self.missed),
            cancelled=len(self.cancelled),
            said=scores,
            rated=Counter(rater for _, rater in watched),
            unanswered=range(silent, silent + 1),
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


def histories(reading: Reading, injected: Iterable[Event], record: Record) -> dict[UUID, History]:
    """Of every relationship that was told of.

    Two things are the server's word, and read off the topics: when a form was filled in, and that its time ran out.
    """
    filled_in = {(f.session_id, f.rater): f for f in record.facts.values() if isinstance(f, FeedbackSubmitted)}
    lapsed = [fact for fact in record.facts.values() if isinstance(fact, FeedbackLapsed)]
    found = defaultdict[UUID, History](History)
    facts: list[Event] = [*injected, *lapsed]
    for told in reading.told:
        fact = told.fact
        if isinstance(fact, FeedbackSubmitted) and (there := filled_in.get((fact.session_id, fact.rater))):
            fact = fact.model_copy(update={"occurred_at": there.occurred_at})
        facts.append(fact)
    for fact in sorted(facts, key=lambda fact: fact.occurred_at):
        if fact.KEY == "relationship_id":
            found[fact.key].note(fact)
    return dict(found)


def amiss(told: dict[UUID, History], seen: Seen) -> list[str]:
    """Relationships whose alliance, as people are shown it, does not rest on exactly what was told."""
    wrong = []
    for relationship, history in told.items():
        alliance, trajectory = seen.alliances.get(relationship), seen.trajectories.get(relationship)
        if alliance is None or trajectory is None:
            wrong.append(f"{relationship}: is not known")
        elif what := differences(alliance, trajectory["points"], history.counted()):
            wrong.append(f"{relationship}: {what}")
    return wrong
