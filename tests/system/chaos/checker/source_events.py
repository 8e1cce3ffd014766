"""Whether exactly the acknowledged events are on the topics of source events."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from shared.events import (
    AlertAcknowledged,
    AlertResolved,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    StaffUpdated,
)
from shared.events.alerts import AlertEvent
from shared.events.feedback import FeedbackEvent
from tests.system.chaos.checker.acknowledged.history import (
    AcknowledgedHistory,
    AcknowledgedSession,
    Disposition,
    ExpectedEvent,
)
from tests.system.chaos.checker.acknowledged.sessions import RATERS
from tests.system.chaos.checker.clocks import CLOCK_TOLERANCE, ONE_HOUR
from tests.system.chaos.checker.topic_contents import TopicContents
from tests.system.chaos.evidence import Fault

LATE_ENTRY_GRACE = timedelta(seconds=10)
"""How long a session entered after its window waits for the answer that is entered with it; sessions' own default."""
LAPSE_TOLERANCE = timedelta(seconds=30)
"""How soon after its deadline a lapse must be published."""
MAX_REQUEST_AGE = timedelta(minutes=5)
"""How long before its acknowledgement a request may first have been sent and processed without a response."""
SERVER_CHOSEN_FIELDS = {"id", "amends", "occurred_at", "recorded_at", "collected_by", "language"}
"""Fields that Attune chose; `occurred_at` is compared separately. Older versions, as in the recording of the upgrade
test, did not choose `collected_by`, and a form says its `language`."""


@dataclass
class Differences:
    """What is wrong with the events on the topics; all lists are empty if nothing is."""

    missing: list[str] = field(default_factory=list)
    """Acknowledged, but not published, or published with other content."""
    duplicates: list[str] = field(default_factory=list)
    """Published under more ids than acknowledged."""
    unexpected: list[str] = field(default_factory=list)
    """Published, but caused by no client."""


def compare_events(
    history: AcknowledgedHistory, injected_events: Iterable[Event], contents: TopicContents
) -> Differences:
    """Compare acknowledged and injected events with the topics. Lapses are not included: no client causes them."""
    differences, by_id = Differences(), {event.id: event for event in injected_events}
    differences.missing += [_describe(e) for e in by_id.values() if contents.source_events.get(e.id) != e]
    expected_by_content, possible_by_content, actual_by_content = (
        _by_content(history.expected_events),
        _by_content(history.possible_events),
        defaultdict[str, list[Event]](list),
    )
    for actual_event in contents.source_events.values():
        if actual_event.id not in by_id and not _has_no_request(actual_event):
            actual_by_content[_content(actual_event)].append(actual_event)
            differences.missing += _amendment_differences(actual_event, contents)
    for content, expected in expected_by_content.items():
        _compare_same_content(
            differences, expected, possible_by_content.get(content, []), actual_by_content.pop(content, [])
        )
    for content, actual in actual_by_content.items():
        extra = actual[len(possible_by_content.get(content, ())) :]
        differences.unexpected += map(_describe, extra)
    return differences


def _compare_same_content(
    differences: Differences,
    expected: Sequence[ExpectedEvent],
    possible: Sequence[ExpectedEvent],
    actual: Sequence[Event],
) -> None:
    """Events with equal content: there must be as many as acknowledged, each in its time range."""
    differences.missing += [_describe(expected_event.event) for expected_event in expected[len(actual) :]]
    differences.duplicates += [_describe(event) for event in actual[len(expected) + len(possible) :]]
    by_earliest = sorted(expected, key=lambda expected_event: expected_event.earliest)
    for expected_event, event in zip(by_earliest, sorted(actual, key=lambda event: event.occurred_at), strict=False):
        if not expected_event.earliest <= event.occurred_at <= expected_event.latest:
            differences.missing.append(f"{_describe(event)}, at {event.occurred_at.isoformat()}")


def _by_content(expected: Iterable[ExpectedEvent]) -> dict[str, list[ExpectedEvent]]:
    by_content = defaultdict[str, list[ExpectedEvent]](list)
    for expected_event in expected:
        by_content[_content(expected_event.event)].append(expected_event)
    return by_content


def _has_no_request(event: Event) -> bool:
    """Lapses, and the first administrator of a clinic, whom a command adds."""
    return isinstance(event, FeedbackLapsed) or (isinstance(event, StaffUpdated) and event.roles == ("administrator",))


def _content(event: Event) -> str:
    return event.model_dump_json(exclude=SERVER_CHOSEN_FIELDS)


def _amendment_differences(event: Event, contents: TopicContents) -> Iterator[str]:
    if isinstance(event, FeedbackAmended):
        amended = contents.source_events.get(event.amends)
        form_key = (event.session_id, event.rater)
        if not isinstance(amended, FeedbackSubmitted) or (amended.session_id, amended.rater) != form_key:
            yield f"{_describe(event)}, which amends {event.amends}"


def _describe(event: Event) -> str:
    subject = f" of session {event.session_id}" if hasattr(event, "session_id") else ""
    return f"{event.event_type()}{subject} of {event.key}"


# Lapses


@dataclass(frozen=True)
class LapseDeadlines:
    """When a lapse must be published, and when it may be, given that clocks may be wrong."""

    faults: Sequence[Fault]
    clock_skew: timedelta
    observed_at: datetime

    def must_have_lapsed(self, session: AcknowledgedSession) -> bool:
        """Whether a form that is unanswered at `observed_at` must have lapsed."""
        assert session.due_at
        assert session.completion_acknowledged_at
        return max(session.due_at, self._latest_grace_end(session)) + LAPSE_TOLERANCE < self.observed_at

    def may_have_lapsed(self, session: AcknowledgedSession, answered_at: datetime | None) -> bool:
        """Whether a form that was answered at `answered_at`, or not at all, may have lapsed."""
        assert session.due_at
        latest = (answered_at or self.observed_at) + self.clock_skew
        return max(session.due_at, session.acknowledged_at + LATE_ENTRY_GRACE - CLOCK_TOLERANCE) <= latest

    def _latest_grace_end(self, session: AcknowledgedSession) -> datetime:
        """When the grace period of a late entry ended, on a wrong clock if such a process may have completed it."""
        assert session.completion_acknowledged_at
        acknowledged_at, earliest_sent_at = (
            session.completion_acknowledged_at,
            session.completion_acknowledged_at - MAX_REQUEST_AGE,
        )
        clock_was_wrong = any(
            "clock" in f.kind and f.started_at <= acknowledged_at and f.ended_at >= earliest_sent_at
            for f in self.faults
        )
        return acknowledged_at + LATE_ENTRY_GRACE + (ONE_HOUR if clock_was_wrong else timedelta())


def compare_lapses(
    history: AcknowledgedHistory, injected_events: Iterable[Event], contents: TopicContents, deadlines: LapseDeadlines
) -> Differences:
    """Compare the forms that lapsed with the published lapses."""
    differences, injected_ids = Differences(), {injected_event.id for injected_event in injected_events}
    lapses_by_form = defaultdict[tuple[UUID, str], list[FeedbackLapsed]](list)
    for event in contents.source_events.values():
        if isinstance(event, FeedbackLapsed) and event.id not in injected_ids:
            lapses_by_form[event.session_id, event.rater].append(event)
    for session_id, session in history.sessions.items():
        for rater in RATERS if session.due_at else ():
            lapses, answered_at = lapses_by_form.pop((session_id, rater), []), session.answer_acknowledged_at.get(rater)
            differences.duplicates += map(_describe, lapses[1:])
            may_have_lapsed = deadlines.may_have_lapsed(session, answered_at)
            differences.unexpected += [
                _describe(lapse) for lapse in lapses[:1] if not may_have_lapsed or not _belongs_to(lapse, session)
            ]
            withdrew = rater == "client" and history.relationships[session.relationship_id].has_withdrawn_consent
            is_due = (
                rater in session.requested_raters
                and answered_at is None
                and not withdrew
                and deadlines.must_have_lapsed(session)
            )
            if is_due and not lapses:
                differences.missing.append(f"{FeedbackLapsed.event_type()} by the {rater} of session {session_id}")
    differences.unexpected += [_describe(event) for lapses in lapses_by_form.values() for event in lapses]
    return differences


def _belongs_to(event: FeedbackEvent, session: AcknowledgedSession) -> bool:
    return (event.relationship_id, event.occurred_at) == (session.relationship_id, session.due_at)


# Dispositions


def compare_dispositions(history: AcknowledgedHistory, contents: TopicContents) -> Differences:
    """Compare the acknowledged dispositions of alerts with the published ones."""
    differences = Differences()
    events_by_id = {
        candidate.id: candidate
        for candidate in contents.alert_events.values()
        if isinstance(candidate, AlertAcknowledged | AlertResolved)
    }
    differences.missing += [
        f"{disposition.alert_id} {disposition.action}"
        for disposition in history.dispositions
        if disposition.is_applied and not _is_published(disposition, events_by_id)
    ]
    requested = {(disposition.alert_id, disposition.action) for disposition in history.dispositions}
    requested_ids = {event_id for disposition in history.dispositions for event_id in disposition.event_ids}
    for event in events_by_id.values():
        if (event.alert_id, _action(event)) not in requested:
            differences.unexpected.append(f"{event.alert_id} {_action(event)}")
        is_of_older_version = event.id == uuid5(event.alert_id, f"{_action(event)}:{event.severity}")
        if event.id not in requested_ids and not is_of_older_version:
            differences.duplicates.append(f"{event.alert_id} {_action(event)}")
    return differences


def _is_published(disposition: Disposition, events_by_id: dict[UUID, AlertAcknowledged | AlertResolved]) -> bool:
    """Whether it is published under its id."""
    candidates = [events_by_id.get(event_id) for event_id in disposition.event_ids]
    return any(
        event is not None
        and (event.alert_id, _action(event)) == (disposition.alert_id, disposition.action)
        and (not isinstance(event, AlertResolved) or event.useful == disposition.useful)
        for event in candidates
    )


def _action(event: AlertEvent) -> str:
    return "acknowledged" if isinstance(event, AlertAcknowledged) else "resolved"
