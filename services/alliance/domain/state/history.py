"""The events of a relationship's history, and the order in which they occurred.

A history is a set of events, so neither the order of arrival nor a repetition matters:

- If one id comes with several contents, the one that occurred last counts; of the same moment, the greater as JSON.
  An erasure always counts.
- Of the outcomes of one session, and of the ends of the relationship, those with the highest correction count.
- An answer that lapsed does not count if a later correction says that the session was not held, or not yet.
- An amendment counts for the answer that it names, whatever its own time; of several, the one that occurred last.
- A resolution of an alert that was taken back was never made.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias, TypeGuard, get_args
from uuid import UUID

from shared.events import (
    AlertReopened,
    AlertResolved,
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionReinstated,
)

# The order decides between events of the same moment: feedback about a session follows the session. States store the
# rank of their last event, so a new type goes to the end.
HistoryEvent: TypeAlias = (
    RelationshipStarted
    | ConsentGiven
    | ConsentWithdrawn
    | RelationshipAimsUpdated
    | SessionCompleted
    | SessionMissed
    | SessionCancelled
    | FeedbackSubmitted
    | FeedbackAmended
    | FeedbackLapsed
    | RelationshipEnded
    | ClientErased
    | SessionReinstated
    | RelationshipReopened
    | AlertResolved
    | AlertReopened
)

HISTORY_EVENTS: tuple[type[HistoryEvent], ...] = get_args(HistoryEvent)
FEEDBACK_EVENTS = (FeedbackSubmitted, FeedbackAmended)
Outcome: TypeAlias = SessionCompleted | SessionMissed | SessionCancelled | SessionReinstated
End: TypeAlias = RelationshipEnded | RelationshipReopened
# Looked up for every event: `isinstance` of a pydantic model costs more than the rest of `precedes`.
_OUTCOMES, _ENDS = frozenset(get_args(Outcome)), frozenset(get_args(End))
_CHANGES = frozenset((FeedbackAmended, AlertReopened))
_RANK = {event_type: rank for rank, event_type in enumerate(HISTORY_EVENTS)}

SortKey: TypeAlias = tuple[datetime, int, UUID]


def sort_key(event: HistoryEvent) -> SortKey:
    """The position of an event in the order of occurrence; no two events have the same position."""
    return event.occurred_at, _RANK[type(event)], event.id


def sort_events(events: Iterable[HistoryEvent]) -> list[HistoryEvent]:
    """Each event once, in the order in which they occurred."""
    return sorted(unique_events(events).values(), key=sort_key)


def unique_events(events: Iterable[HistoryEvent]) -> dict[UUID, HistoryEvent]:
    """The events by id, each with the content that counts."""
    events = list(events)
    by_id = {event.id: event for event in events}
    if len(by_id) < len(events):
        for event in events:
            by_id[event.id] = choose_content(by_id[event.id], event)
    return by_id


def choose_content(one: HistoryEvent, other: HistoryEvent) -> HistoryEvent:
    """Of two contents under one id, the one that counts."""
    return one if one == other else max(one, other, key=_content_rank)


def _content_rank(event: HistoryEvent) -> tuple[bool, SortKey, str]:
    return isinstance(event, ClientErased), sort_key(event), event.model_dump_json()


def is_correction(event: HistoryEvent) -> bool:
    """Whether the event takes back or changes what an earlier one says."""
    return type(event) in _CHANGES or ((_is_outcome(event) or _is_end(event)) and event.correction > 0)


def corrected_at(event: HistoryEvent) -> datetime:
    """When a correction was made; its `occurred_at` may be the time of what it corrects."""
    return (_is_outcome(event) and event.recorded_at) or event.occurred_at


def correctable_id(event: HistoryEvent) -> UUID | None:
    """The session or the relationship whose correction the event may depend on; None if there is none."""
    if _is_outcome(event) or isinstance(event, FeedbackLapsed):
        return event.session_id
    return event.relationship_id if _is_end(event) else None


def highest_corrections(events: Iterable[HistoryEvent]) -> dict[UUID, int]:
    """The highest correction of each session and relationship of which an outcome or end was corrected."""
    highest: dict[UUID, int] = {}
    for event in events:
        if _is_outcome(event) and event.correction:
            highest[event.session_id] = max(event.correction, highest.get(event.session_id, 0))
        elif _is_end(event) and event.correction:
            highest[event.relationship_id] = max(event.correction, highest.get(event.relationship_id, 0))
    return dict(sorted(highest.items()))


def apply_corrections(sorted_events: Sequence[HistoryEvent]) -> list[HistoryEvent]:
    """The events as corrected: without what was superseded or taken back, and every answer as it was last amended,
    where it was given.
    """
    highest = highest_corrections(sorted_events)
    if highest:
        not_held = _corrections_to_not_held(sorted_events)
        sorted_events = [event for event in sorted_events if not _is_superseded(event, highest, not_held)]
    if taken_back := {event.disposition_id for event in sorted_events if type(event) is AlertReopened}:
        sorted_events = [
            event for event in sorted_events if not (type(event) is AlertResolved and event.id in taken_back)
        ]
    amendments = {event.amends: event for event in sorted_events if type(event) is FeedbackAmended}
    if not amendments:
        return list(sorted_events)
    return [
        _amend(event, amendments[event.id]) if type(event) is FeedbackSubmitted and event.id in amendments else event
        for event in sorted_events
        if type(event) is not FeedbackAmended
    ]


def _corrections_to_not_held(events: Iterable[HistoryEvent]) -> dict[UUID, int]:
    """The highest correction of each session which says that it was not held, or not yet."""
    highest: dict[UUID, int] = {}
    for event in events:
        if _is_outcome(event) and not isinstance(event, SessionCompleted):
            highest[event.session_id] = max(event.correction, highest.get(event.session_id, 0))
    return highest


def _is_superseded(event: HistoryEvent, highest: Mapping[UUID, int], not_held: Mapping[UUID, int]) -> bool:
    if _is_outcome(event):
        return event.correction < highest.get(event.session_id, 0)
    if isinstance(event, FeedbackLapsed):
        return event.correction < not_held.get(event.session_id, 0)
    return _is_end(event) and event.correction < highest.get(event.relationship_id, 0)


def _is_outcome(event: HistoryEvent) -> TypeGuard[Outcome]:
    return type(event) in _OUTCOMES


def _is_end(event: HistoryEvent) -> TypeGuard[End]:
    return type(event) in _ENDS


def find_unknown_corrected(events: Sequence[HistoryEvent]) -> tuple[UUID, ...]:
    """The ids of answers that were amended, and of resolutions that were taken back, which are not known themselves.

    An acknowledgement of an alert can be taken back, too; its id stays among them.
    """
    corrected = {event.amends for event in events if type(event) is FeedbackAmended}
    corrected |= {event.disposition_id for event in events if type(event) is AlertReopened}
    if not corrected:
        return ()
    return tuple(
        sorted(corrected - {event.id for event in events if type(event) in (FeedbackSubmitted, AlertResolved)})
    )


def _amend(original: FeedbackSubmitted, amendment: FeedbackAmended) -> FeedbackSubmitted:
    """The answer as amended; an amendment that does not say its language is in that of the answer."""
    amended_fields = {"ratings", "instrument", "tension", "talked_about", "outcome", "recorded_at", "collected_by"}
    amended = {name: getattr(amendment, name) for name in amended_fields}
    return original.model_copy(update=amended | {"language": amendment.language or original.language})


def clinic_of(events: Iterable[HistoryEvent], default: UUID | None = None) -> UUID | None:
    """The clinic of the relationship that `events` are about; `default` if they do not contain it."""
    started = _find_start(events)
    return started.clinic_id if started else default


def clinician_of(events: Iterable[HistoryEvent]) -> UUID | None:
    """The clinician of the relationship that `events` are about."""
    started = _find_start(events)
    return started.clinician_id if started else None


def _find_start(events: Iterable[HistoryEvent]) -> RelationshipStarted | None:
    return max((event for event in events if isinstance(event, RelationshipStarted)), key=sort_key, default=None)
