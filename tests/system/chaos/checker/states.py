"""Whether alliance stores every event, whether its states equal the refold, and whether it published them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import FoldResult, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent
from services.alliance.store.stored_names import dump_alliance, load_alliance
from shared.events import (
    AlertReopened,
    AlertResolved,
    Event,
    RuptureEnded,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    by_type,
)
from shared.events.cloudevents import decode
from tests.system.chaos.checker.observation import ObservedState
from tests.system.chaos.checker.topic_contents import TopicContents

_HISTORY_EVENT_TYPES = by_type(HISTORY_EVENTS)


@dataclass(frozen=True)
class StoredState:
    """The stored alliance of a relationship and its version."""

    alliance: Alliance
    version: int


def stored_states(observed: ObservedState) -> dict[UUID, StoredState]:
    """Every state in alliance's database."""
    return {
        relationship: StoredState(load_alliance(document["state"]), document["v"])
        for relationship, document in observed.documents("alliance", "alliances").items()
    }


def _history_events(contents: TopicContents) -> list[HistoryEvent]:
    """The events that alliance folds: those that people caused, and what clinicians decided about alerts."""
    events = (*contents.source_events.values(), *contents.alert_events.values())
    return [event for event in events if isinstance(event, HISTORY_EVENTS)]


def refold_relationships(contents: TopicContents) -> dict[UUID, FoldResult]:
    """Every relationship, folded from its events on the topics."""
    events_by_relationship = defaultdict[UUID, list[HistoryEvent]](list)
    for event in _history_events(contents):
        events_by_relationship[event.relationship_id].append(event)
    return {relationship: refold(events, DEFAULT_POLICY) for relationship, events in events_by_relationship.items()}


def stored_event_differences(contents: TopicContents, observed: ObservedState) -> list[str]:
    """Events and dispositions that are only in alliance's database, only on the topics, or differ."""
    published = {event.id: event for event in _history_events(contents)}
    documents = observed.documents("alliance", "facts")
    differences = [f"event {event_id} not stored" for event_id in published.keys() - documents.keys()]
    differences += [f"event {event_id} not on any topic" for event_id in documents.keys() - published.keys()]
    for event_id in published.keys() & documents.keys():
        # Compared as events: an older version stored them without the fields that were added since.
        stored = decode(documents[event_id]["event"], _HISTORY_EVENT_TYPES, max_bytes=None)
        if (stored, documents[event_id]["r"]) != (published[event_id], published[event_id].relationship_id):
            differences.append(f"event {event_id} stored differently")
    published_dispositions = {
        event.id: event.useful for event in contents.alert_events.values() if isinstance(event, AlertResolved)
    }
    stored_dispositions = {
        event_id: document["useful"] for event_id, document in observed.documents("alliance", "judgements").items()
    }
    differences += [
        f"disposition not stored, or not on its topic: {i}"
        for i, _ in set(published_dispositions.items()) ^ set(stored_dispositions.items())
    ]
    published_reopenings = {e.id for e in contents.alert_events.values() if isinstance(e, AlertReopened)}
    stored_reopenings = observed.documents("alliance", "reopenings").keys()
    differences += [f"reopening not stored, or not on its topic: {i}" for i in published_reopenings ^ stored_reopenings]
    return differences


def state_differences(stored: Mapping[UUID, StoredState], fold_results: Mapping[UUID, FoldResult]) -> list[str]:
    """Relationships whose stored state differs from the refold of all their events."""
    differences = [f"{relationship}: no state" for relationship in fold_results.keys() - stored.keys()]
    differences += [f"{relationship}: state without events" for relationship in stored.keys() - fold_results.keys()]
    differences += [
        f"{relationship}: version {stored[relationship].version} differs from the refold"
        for relationship in stored.keys() & fold_results.keys()
        if stored[relationship].alliance != _as_stored(fold_results[relationship].alliance)
    ]
    return differences


def _as_stored(alliance: Alliance) -> Alliance:
    return load_alliance(dump_alliance(alliance))


def published_differences(
    stored: Mapping[UUID, StoredState], fold_results: Mapping[UUID, FoldResult], contents: TopicContents
) -> list[str]:
    """Derived events that were not published, and published versions that are not stored."""
    latest_by_episode, highest_versions = (
        latest_rupture_events(contents.rupture_events.values()),
        defaultdict[UUID, int](int),
    )
    for event in (*contents.alliance_updates.values(), *contents.rupture_events.values()):
        highest_versions[event.relationship_id] = max(highest_versions[event.relationship_id], event.version)
    differences = [f"{r}: published, but no state" for r in highest_versions.keys() - stored.keys()]
    differences += [
        f"{r}: published version {highest_versions[r]}, stored version {s.version}"
        for r, s in stored.items()
        if highest_versions[r] > s.version
    ]
    for relationship, state in stored.items():
        if relationship in fold_results:
            derived_events = derive_events(relationship, fold_results[relationship], state.version, DEFAULT_POLICY)
            differences += [
                f"{relationship}: {event.event_type()} of version {state.version} "
                "is not published, or is not the latest"
                for event in derived_events
                if not _is_published(event, contents, latest_by_episode)
            ]
    return differences


def _is_published(event: Event, contents: TopicContents, latest_by_episode: Mapping[UUID, RuptureEvent]) -> bool:
    if not isinstance(event, RuptureEvent):
        return contents.alliance_updates.get(event.key) == event
    latest = latest_by_episode.get(event.episode_id)
    # A closed episode is published once; its relationship has moved on to later versions since.
    is_closing = isinstance(event, RuptureRepaired | RuptureRetracted | RuptureEnded)
    return (
        latest is not None
        and type(latest) is type(event)
        and _content(latest, latest, is_closing) == _content(event, latest, is_closing)
    )


def _content(event: RuptureEvent, latest: RuptureEvent, is_closing: bool) -> dict[str, Any]:
    """What must be published of `event`; a retraction that an older version published does not say `end_reason`.

    Whether it was found in retrospect depends on when it was found, and not on the history.
    """
    excluded = {"retrospective"} | ({"id", "version"} if is_closing else set())
    if is_closing and isinstance(latest, RuptureRetracted) and latest.end_reason is None:
        excluded.add("end_reason")
    return event.model_dump(exclude=excluded)


def latest_rupture_events(rupture_events: Iterable[RuptureEvent]) -> dict[UUID, RuptureEvent]:
    """The event with the highest version of each episode."""
    latest: dict[UUID, RuptureEvent] = {}
    for event in rupture_events:
        previous = latest.get(event.episode_id)
        if previous is None or previous.version < event.version:
            latest[event.episode_id] = event
    return latest
