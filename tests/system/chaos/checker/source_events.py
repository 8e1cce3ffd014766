"""Whether what people were told lies on the topics, and nothing else does."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from shared.events import AlertAcknowledged, AlertResolved, Event, FeedbackAmended, FeedbackLapsed, FeedbackSubmitted
from shared.events.alerts import AlertEvent
from shared.events.feedback import FeedbackEvent
from tests.system.chaos.checker.acknowledged import A_LITTLE, AN_HOUR, RATERS, Act, Reading, Sitting, Told
from tests.system.chaos.checker.topic_contents import Record
from tests.system.chaos.evidence import Fault

GRACE = timedelta(seconds=10)
"""How long a session entered after its window waits for the answer that is entered with it; sessions' own default."""
NOTICED_WITHIN = timedelta(seconds=30)
"""After a deadline, how soon silence is told."""
SENT_BEFORE = timedelta(minutes=5)
"""How long before it was acknowledged a request may have been sent for the first time, and taken without a word."""
CHOSEN = {"id", "amends", "occurred_at", "recorded_at"}
"""What Attune chose and no client said; when it occurred is compared apart."""
WEIGHT = {"watch": 0, "concern": 1, "urgent": 2}


@dataclass
class Compared:
    """What is wrong with the facts on the topics; each list is empty when nothing is."""

    missing: list[str] = field(default_factory=list)
    """Acknowledged, and not there, or not with what was said."""
    twice: list[str] = field(default_factory=list)
    """There under more ids than it was told."""
    nobodys: list[str] = field(default_factory=list)
    """There, and nobody said so."""


def compare(reading: Reading, injected: Iterable[Event], record: Record) -> Compared:
    """What was told against what lies there; silence, which nobody tells, aside."""
    wrong, by_id = Compared(), {event.id: event for event in injected}
    wrong.missing += [_name(e) for e in by_id.values() if record.facts.get(e.id) != e]
    wanted, may, there = _by_content(reading.told), _by_content(reading.perhaps), defaultdict[str, list[Event]](list)
    for fact in record.facts.values():
        if fact.id not in by_id and not isinstance(fact, FeedbackLapsed):
            there[_content(fact)].append(fact)
            wrong.missing += _amends_something_else(fact, record)
    for content, told in wanted.items():
        _compare_alike(wrong, told, may.get(content, []), there.pop(content, []))
    for content, found in there.items():
        extra = found[len(may.get(content, ())) :]
        wrong.nobodys += map(_name, extra)
    return wrong


def _compare_alike(wrong: Compared, told: Sequence[Told], may: Sequence[Told], found: Sequence[Event]) -> None:
    """All that say the same of the same: as many as were told, each in its time."""
    wrong.missing += [_name(one.fact) for one in told[len(found) :]]
    wrong.twice += [_name(fact) for fact in found[len(told) + len(may) :]]
    in_time = sorted(told, key=lambda one: one.earliest)
    for one, fact in zip(in_time, sorted(found, key=lambda fact: fact.occurred_at), strict=False):
        if not one.earliest <= fact.occurred_at <= one.latest:
            wrong.missing.append(f"{_name(fact)}, at {fact.occurred_at.isoformat()}")


def _by_content(told: Iterable[Told]) -> dict[str, list[Told]]:
    found = defaultdict[str, list[Told]](list)
    for one in told:
        found[_content(one.fact)].append(one)
    return found


def _content(fact: Event) -> str:
    return fact.model_dump_json(exclude=CHOSEN)


def _amends_something_else(fact: Event, record: Record) -> Iterator[str]:
    if isinstance(fact, FeedbackAmended):
        first = record.facts.get(fact.amends)
        about = (fact.session_id, fact.rater)
        if not isinstance(first, FeedbackSubmitted) or (first.session_id, first.rater) != about:
            yield f"{_name(fact)}, which corrects {fact.amends}"


def _name(fact: Event) -> str:
    about = f" of session {fact.session_id}" if hasattr(fact, "session_id") else ""
    return f"{fact.kind()}{about} of {fact.key}"


# Silence


@dataclass(frozen=True)
class Deadlines:
    """By when silence must be told, and from when on it may be, for clocks that may be wrong."""

    faults: Sequence[Fault]
    apart: timedelta
    now: datetime

    def must_be_told(self, sitting: Sitting) -> bool:
        """Of a form that nobody has answered until `now`."""
        assert sitting.due_at
        assert sitting.completed
        return max(sitting.due_at, self._waited_for(sitting)) + NOTICED_WITHIN < self.now

    def may_be_told(self, sitting: Sitting, answered: datetime | None) -> bool:
        """Of a form that was answered then, or not at all."""
        assert sitting.due_at
        until = (answered or self.now) + self.apart
        return max(sitting.due_at, sitting.entered + GRACE - A_LITTLE) <= until

    def _waited_for(self, sitting: Sitting) -> datetime:
        """Until when whoever took the session waited: by a wrong clock, if it may have been one with a wrong clock."""
        assert sitting.completed
        taken, sent = sitting.completed, sitting.completed - SENT_BEFORE
        wrong = any("clock" in f.kind and f.begun <= taken and f.ended >= sent for f in self.faults)
        return taken + GRACE + (AN_HOUR if wrong else timedelta())


def silences(reading: Reading, injected: Iterable[Event], record: Record, deadlines: Deadlines) -> Compared:
    """Forms whose time ran out, against what was told of them."""
    wrong, known = Compared(), {event.id for event in injected}
    told = defaultdict[tuple[UUID, str], list[FeedbackLapsed]](list)
    for fact in record.facts.values():
        if isinstance(fact, FeedbackLapsed) and fact.id not in known:
            told[fact.session_id, fact.rater].append(fact)
    for session, sitting in reading.sittings.items():
        for rater in RATERS if sitting.due_at else ():
            found, answered = told.pop((session, rater), []), sitting.answered.get(rater)
            wrong.twice += map(_name, found[1:])
            may = deadlines.may_be_told(sitting, answered)
            wrong.nobodys += [_name(f) for f in found[:1] if not may or not _is_of(f, sitting)]
            withdrew = rater == "client" and reading.bonds[sitting.relationship_id].withdrew
            due = rater in sitting.asked and answered is None and not withdrew and deadlines.must_be_told(sitting)
            if due and not found:
                wrong.missing.append(f"{FeedbackLapsed.kind()} by the {rater} of session {session}")
    wrong.nobodys += [_name(fact) for found in told.values() for fact in found]
    return wrong


def _is_of(fact: FeedbackEvent, sitting: Sitting) -> bool:
    return (fact.relationship_id, fact.occurred_at) == (sitting.relationship_id, sitting.due_at)


# What clinicians did


def acts(reading: Reading, record: Record) -> Compared:
    """What clinicians were told that they did about alerts, against what lies there of it."""
    wrong = Compared()
    done = {e.id: e for e in record.alerts.values() if isinstance(e, AlertAcknowledged | AlertResolved)}
    wrong.missing += [f"{act.alert_id} {act.what}" for act in reading.acts if act.done and not _lies_there(act, done)]
    asked = {(act.alert_id, act.what) for act in reading.acts}
    for event in done.values():
        if (event.alert_id, _what(event)) not in asked:
            wrong.nobodys.append(f"{event.alert_id} {_what(event)}")
        if event.id not in {uuid5(event.alert_id, f"{_what(event)}:{severity}") for severity in WEIGHT}:
            wrong.twice.append(f"{event.alert_id} {_what(event)}")
    return wrong


def _lies_there(act: Act, done: dict[UUID, AlertAcknowledged | AlertResolved]) -> bool:
    """Under the id of the severity at which it was done: the one that was shown, or a higher one before."""
    severities = [severity for severity, weight in WEIGHT.items() if weight >= WEIGHT[act.severity]]
    found = [done.get(uuid5(act.alert_id, f"{act.what}:{severity}")) for severity in severities]
    return any(
        event is not None
        and (event.alert_id, _what(event)) == (act.alert_id, act.what)
        and (not isinstance(event, AlertResolved) or event.useful == act.useful)
        for event in found
    )


def _what(event: AlertEvent) -> str:
    return "acknowledged" if isinstance(event, AlertAcknowledged) else "resolved"
