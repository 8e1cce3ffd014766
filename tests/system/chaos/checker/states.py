"""Whether alliance keeps every fact, reads every relationship as it must be read, and has told what follows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from services.alliance.domain.derived_events import derive_events
from services.alliance.domain.fold import FoldResult, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent
from services.alliance.store.stored_names import dump_alliance, load_alliance
from shared.events import AlertResolved, Event, RuptureEvent, RuptureRepaired, RuptureRetracted
from shared.events.cloudevents import encode
from tests.system.chaos.checker.observation import ObservedState
from tests.system.chaos.checker.topic_contents import TopicContents


@dataclass(frozen=True)
class StoredState:
    """The alliance of a relationship as it is kept, and how often it was written."""

    alliance: Alliance
    version: int


def stored_states(observed: ObservedState) -> dict[UUID, StoredState]:
    """Every state in alliance's database."""
    return {
        relationship: StoredState(load_alliance(document["state"]), document["v"])
        for relationship, document in observed.documents("alliance", "alliances").items()
    }


def refold_relationships(contents: TopicContents) -> dict[UUID, FoldResult]:
    """Every relationship, read from its facts on the topics."""
    events_by_relationship = defaultdict[UUID, list[HistoryEvent]](list)
    for event in contents.source_events.values():
        if isinstance(event, HISTORY_EVENTS):
            events_by_relationship[event.relationship_id].append(cast("HistoryEvent", event))
    return {relationship: refold(events, DEFAULT_POLICY) for relationship, events in events_by_relationship.items()}


def stored_event_differences(contents: TopicContents, observed: ObservedState) -> list[str]:
    """Facts that are in alliance's database and not on the topics, or the other way round; the same of judgements."""
    published = {
        source_event.id: encode(source_event)
        for source_event in contents.source_events.values()
        if isinstance(source_event, HISTORY_EVENTS)
    }
    documents = observed.documents("alliance", "facts")
    differences = [f"not kept: {source_event}" for source_event in published.keys() - documents.keys()]
    differences += [f"on no topic: {source_event}" for source_event in documents.keys() - published.keys()]
    for event_id in published.keys() & documents.keys():
        source_event = cast("HistoryEvent", contents.source_events[event_id])
        if (documents[event_id]["event"], documents[event_id]["r"]) != (
            published[event_id],
            source_event.relationship_id,
        ):
            differences.append(f"kept otherwise: {event_id}")
    published_dispositions = {
        event.id: event.useful for event in contents.alert_events.values() if isinstance(event, AlertResolved)
    }
    stored_dispositions = {
        event_id: document["useful"] for event_id, document in observed.documents("alliance", "judgements").items()
    }
    differences += [
        f"judgement not kept, or on no topic: {i}"
        for i, _ in set(published_dispositions.items()) ^ set(stored_dispositions.items())
    ]
    return differences


def state_differences(stored: Mapping[UUID, StoredState], fold_results: Mapping[UUID, FoldResult]) -> list[str]:
    """Relationships whose state is not what all their facts give."""
    differences = [f"{relationship}: has no state" for relationship in fold_results.keys() - stored.keys()]
    differences += [f"{relationship}: has a state and no facts" for relationship in stored.keys() - fold_results.keys()]
    differences += [
        f"{relationship}: version {stored[relationship].version} is not what its facts give"
        for relationship in stored.keys() & fold_results.keys()
        if stored[relationship].alliance != _as_stored(fold_results[relationship].alliance)
    ]
    return differences


def _as_stored(alliance: Alliance) -> Alliance:
    return load_alliance(dump_alliance(alliance))


def published_differences(
    stored: Mapping[UUID, StoredState], fold_results: Mapping[UUID, FoldResult], contents: TopicContents
) -> list[str]:
    """What follows from a state and was not told, and what was told of states that there are not."""
    latest_by_episode, highest_versions = (
        latest_rupture_events(contents.rupture_events.values()),
        defaultdict[UUID, int](int),
    )
    for event in (*contents.alliance_updates.values(), *contents.rupture_events.values()):
        highest_versions[event.relationship_id] = max(highest_versions[event.relationship_id], event.version)
    differences = [f"{r}: told, and has no state" for r in highest_versions.keys() - stored.keys()]
    differences += [
        f"{r}: told version {highest_versions[r]} of {s.version}"
        for r, s in stored.items()
        if highest_versions[r] > s.version
    ]
    for relationship, state in stored.items():
        if relationship in fold_results:
            derived_events = derive_events(relationship, fold_results[relationship], state.version, DEFAULT_POLICY)
            differences += [
                f"{relationship}: {event.event_type()} of version {state.version} was not told, or is not the last word"
                for event in derived_events
                if not _is_published(event, contents, latest_by_episode)
            ]
    return differences


def _is_published(event: Event, contents: TopicContents, latest_by_episode: Mapping[UUID, RuptureEvent]) -> bool:
    if not isinstance(event, RuptureEvent):
        return contents.alliance_updates.get(event.key) == event
    latest = latest_by_episode.get(event.episode_id)
    # What is over is told once; its relationship has gone on to other versions since.
    is_closing = isinstance(event, RuptureRepaired | RuptureRetracted)
    return (
        latest is not None
        and type(latest) is type(event)
        and _content(latest, is_closing) == _content(event, is_closing)
    )


def _content(event: RuptureEvent, is_closing: bool) -> dict[str, Any]:
    return event.model_dump(exclude={"id", "version"} if is_closing else None)


def latest_rupture_events(rupture_events: Iterable[RuptureEvent]) -> dict[UUID, RuptureEvent]:
    """Of each episode, what was said of it at the highest version."""
    latest: dict[UUID, RuptureEvent] = {}
    for event in rupture_events:
        previous = latest.get(event.episode_id)
        if previous is None or previous.version < event.version:
            latest[event.episode_id] = event
    return latest
