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


def compare(history: Reading, injected: Iterable[Event], record: Record) -> Compared:
    """What was told against what lies there; silence, which nobody tells, aside."""
    differences, by_id = Compared(), {event.id: event for event in injected}
    differences.missing += [_name(e) for e in by_id.values() if record.facts.get(e.id) != e]
    expected_by_content, possible_by_content, actual_by_content = (
        _by_content(history.told),
        _by_content(history.perhaps),
        defaultdict[str, list[Event]](list),
    )
    for actual_event in record.facts.values():
        if actual_event.id not in by_id and not isinstance(actual_event, FeedbackLapsed):
            actual_by_content[_content(actual_event)].append(actual_event)
            differences.missing += _amends_something_else(actual_event, record)
    for content, expected in expected_by_content.items():
        _compare_alike(differences, expected, possible_by_content.get(content, []), actual_by_content.pop(content, []))
    for content, actual in actual_by_content.items():
        extra = actual[len(possible_by_content.get(content, ())) :]
        differences.nobodys += map(_name, extra)
    return differences


def _compare_alike(
    differences: Compared, told: Sequence[Told], possible: Sequence[Told], actual: Sequence[Event]
) -> None:
    """All that say the same of the same: as many as were told, each in its time."""
    differences.missing += [_name(expected_event.fact) for expected_event in told[len(actual) :]]
    differences.twice += [_name(event) for event in actual[len(told) + len(possible) :]]
    by_earliest = sorted(told, key=lambda expected_event: expected_event.earliest)
    for expected_event, event in zip(by_earliest, sorted(actual, key=lambda event: event.occurred_at), strict=False):
        if not expected_event.earliest <= event.occurred_at <= expected_event.latest:
            differences.missing.append(f"{_name(event)}, at {event.occurred_at.isoformat()}")


def _by_content(told: Iterable[Told]) -> dict[str, list[Told]]:
    by_content = defaultdict[str, list[Told]](list)
    for expected_event in told:
        by_content[_content(expected_event.fact)].append(expected_event)
    return by_content


def _content(event: Event) -> str:
    return event.model_dump_json(exclude=CHOSEN)


def _amends_something_else(event: Event, record: Record) -> Iterator[str]:
    if isinstance(event, FeedbackAmended):
        amended = record.facts.get(event.amends)
        form_key = (event.session_id, event.rater)
        if not isinstance(amended, FeedbackSubmitted) or (amended.session_id, amended.rater) != form_key:
            yield f"{_name(event)}, which corrects {event.amends}"


def _name(event: Event) -> str:
    subject = f" of session {event.session_id}" if hasattr(event, "session_id") else ""
    return f"{event.kind()}{subject} of {event.key}"


# Silence


@dataclass(frozen=True)
class Deadlines:
    """By when silence must be told, and from when on it may be, for clocks that may be wrong."""

    faults: Sequence[Fault]
    apart: timedelta
    now: datetime

    def must_be_told(self, session: Sitting) -> bool:
        """Of a form that nobody has answered until `now`."""
        assert session.due_at
        assert session.completed
        return max(session.due_at, self._waited_for(session)) + NOTICED_WITHIN < self.now

    def may_be_told(self, session: Sitting, answered: datetime | None) -> bool:
        """Of a form that was answered then, or not at all."""
        assert session.due_at
        latest = (answered or self.now) + self.apart
        return max(session.due_at, session.entered + GRACE - A_LITTLE) <= latest

    def _waited_for(self, session: Sitting) -> datetime:
        """Until when whoever took the session waited: by a wrong clock, if it may have been one with a wrong clock."""
        assert session.completed
        acknowledged_at, earliest_sent_at = session.completed, session.completed - SENT_BEFORE
        clock_was_wrong = any(
            "clock" in f.kind and f.begun <= acknowledged_at and f.ended >= earliest_sent_at for f in self.faults
        )
        return acknowledged_at + GRACE + (AN_HOUR if clock_was_wrong else timedelta())


def silences(history: Reading, injected: Iterable[Event], record: Record, deadlines: Deadlines) -> Compared:
    """Forms whose time ran out, against what was told of them."""
    differences, injected_ids = Compared(), {injected_event.id for injected_event in injected}
    lapses_by_form = defaultdict[tuple[UUID, str], list[FeedbackLapsed]](list)
    for event in record.facts.values():
        if isinstance(event, FeedbackLapsed) and event.id not in injected_ids:
            lapses_by_form[event.session_id, event.rater].append(event)
    for session_id, session in history.sittings.items():
        for rater in RATERS if session.due_at else ():
            lapses, answered_at = lapses_by_form.pop((session_id, rater), []), session.answered.get(rater)
            differences.twice += map(_name, lapses[1:])
            may_have_lapsed = deadlines.may_be_told(session, answered_at)
            differences.nobodys += [
                _name(lapse) for lapse in lapses[:1] if not may_have_lapsed or not _is_of(lapse, session)
            ]
            withdrew = rater == "client" and history.bonds[session.relationship_id].withdrew
            is_due = rater in session.asked and answered_at is None and not withdrew and deadlines.must_be_told(session)
            if is_due and not lapses:
                differences.missing.append(f"{FeedbackLapsed.kind()} by the {rater} of session {session_id}")
    differences.nobodys += [_name(event) for lapses in lapses_by_form.values() for event in lapses]
    return differences


def _is_of(event: FeedbackEvent, session: Sitting) -> bool:
    return (event.relationship_id, event.occurred_at) == (session.relationship_id, session.due_at)


# What clinicians did


def acts(history: Reading, record: Record) -> Compared:
    """What clinicians were told that they did about alerts, against what lies there of it."""
    differences = Compared()
    events_by_id = {
        candidate.id: candidate
        for candidate in record.alerts.values()
        if isinstance(candidate, AlertAcknowledged | AlertResolved)
    }
    differences.missing += [
        f"{disposition.alert_id} {disposition.what}"
        for disposition in history.acts
        if disposition.done and not _lies_there(disposition, events_by_id)
    ]
    requested = {(disposition.alert_id, disposition.what) for disposition in history.acts}
    for event in events_by_id.values():
        if (event.alert_id, _what(event)) not in requested:
            differences.nobodys.append(f"{event.alert_id} {_what(event)}")
        if event.id not in {uuid5(event.alert_id, f"{_what(event)}:{severity}") for severity in WEIGHT}:
            differences.twice.append(f"{event.alert_id} {_what(event)}")
    return differences


def _lies_there(disposition: Act, done: dict[UUID, AlertAcknowledged | AlertResolved]) -> bool:
    """Under the id of the severity at which it was done: the one that was shown, or a higher one before."""
    severities = [severity for severity, rank in WEIGHT.items() if rank >= WEIGHT[disposition.severity]]
    candidates = [done.get(uuid5(disposition.alert_id, f"{disposition.what}:{severity}")) for severity in severities]
    return any(
        event is not None
        and (event.alert_id, _what(event)) == (disposition.alert_id, disposition.what)
        and (not isinstance(event, AlertResolved) or event.useful == disposition.useful)
        for event in candidates
    )


def _what(event: AlertEvent) -> str:
    return "acknowledged" if isinstance(event, AlertAcknowledged) else "resolved"
