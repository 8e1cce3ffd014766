"""Whether alliance keeps every fact, reads every relationship as it must be read, and has told what follows."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter

from services.alliance.domain.derived_events import what_follows
from services.alliance.domain.fold import Read, read_again
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import FACTS, Fact
from shared.events import AlertResolved, Event, RuptureEvent, RuptureRepaired, RuptureRetracted
from shared.events.cloudevents import encode
from tests.system.chaos.checker.observation import Seen
from tests.system.chaos.checker.topic_contents import Record

_STATE = TypeAdapter(Alliance)


@dataclass(frozen=True)
class State:
    """The alliance of a relationship as it is kept, and how often it was written."""

    alliance: Alliance
    version: int


def states(seen: Seen) -> dict[UUID, State]:
    """Every state in alliance's database."""
    return {
        relationship: State(_STATE.validate_json(document["state"]), document["v"])
        for relationship, document in seen.documents("alliance", "alliances").items()
    }


def refolded(record: Record) -> dict[UUID, Read]:
    """Every relationship, read from its facts on the topics."""
    events_by_relationship = defaultdict[UUID, list[Fact]](list)
    for event in record.facts.values():
        if isinstance(event, FACTS):
            events_by_relationship[event.relationship_id].append(cast("Fact", event))
    return {relationship: read_again(events, DEFAULT) for relationship, events in events_by_relationship.items()}


def not_remembered(record: Record, seen: Seen) -> list[str]:
    """Facts that are in alliance's database and not on the topics, or the other way round; the same of judgements."""
    published = {
        source_event.id: encode(source_event)
        for source_event in record.facts.values()
        if isinstance(source_event, FACTS)
    }
    documents = seen.documents("alliance", "facts")
    differences = [f"not kept: {source_event}" for source_event in published.keys() - documents.keys()]
    differences += [f"on no topic: {source_event}" for source_event in documents.keys() - published.keys()]
    for event_id in published.keys() & documents.keys():
        source_event = cast("Fact", record.facts[event_id])
        if (documents[event_id]["event"], documents[event_id]["r"]) != (
            published[event_id],
            source_event.relationship_id,
        ):
            differences.append(f"kept otherwise: {event_id}")
    published_dispositions = {
        event.id: event.useful for event in record.alerts.values() if isinstance(event, AlertResolved)
    }
    stored_dispositions = {
        event_id: document["useful"] for event_id, document in seen.documents("alliance", "judgements").items()
    }
    differences += [
        f"judgement not kept, or on no topic: {i}"
        for i, _ in set(published_dispositions.items()) ^ set(stored_dispositions.items())
    ]
    return differences


def not_as_refolded(kept: Mapping[UUID, State], read: Mapping[UUID, Read]) -> list[str]:
    """Relationships whose state is not what all their facts give."""
    differences = [f"{relationship}: has no state" for relationship in read.keys() - kept.keys()]
    differences += [f"{relationship}: has a state and no facts" for relationship in kept.keys() - read.keys()]
    differences += [
        f"{relationship}: version {kept[relationship].version} is not what its facts give"
        for relationship in kept.keys() & read.keys()
        if kept[relationship].alliance != _as_kept(read[relationship].alliance)
    ]
    return differences


def _as_kept(alliance: Alliance) -> Alliance:
    return _STATE.validate_json(_STATE.dump_json(alliance))


def not_told(kept: Mapping[UUID, State], read: Mapping[UUID, Read], record: Record) -> list[str]:
    """What follows from a state and was not told, and what was told of states that there are not."""
    latest_by_episode, highest_versions = last_words(record.ruptures.values()), defaultdict[UUID, int](int)
    for event in (*record.updates.values(), *record.ruptures.values()):
        highest_versions[event.relationship_id] = max(highest_versions[event.relationship_id], event.version)
    differences = [f"{r}: told, and has no state" for r in highest_versions.keys() - kept.keys()]
    differences += [
        f"{r}: told version {highest_versions[r]} of {s.version}"
        for r, s in kept.items()
        if highest_versions[r] > s.version
    ]
    for relationship, state in kept.items():
        if relationship in read:
            derived_events = what_follows(relationship, read[relationship], state.version, DEFAULT)
            differences += [
                f"{relationship}: {event.kind()} of version {state.version} was not told, or is not the last word"
                for event in derived_events
                if not _was_told(event, record, latest_by_episode)
            ]
    return differences


def _was_told(event: Event, record: Record, last: Mapping[UUID, RuptureEvent]) -> bool:
    if not isinstance(event, RuptureEvent):
        return record.updates.get(event.key) == event
    latest = last.get(event.episode_id)
    # What is over is told once; its relationship has gone on to other versions since.
    is_closing = isinstance(event, RuptureRepaired | RuptureRetracted)
    return latest is not None and type(latest) is type(event) and _says(latest, is_closing) == _says(event, is_closing)


def _says(event: RuptureEvent, over: bool) -> dict[str, Any]:
    return event.model_dump(exclude={"id", "version"} if over else None)


def last_words(rupture_events: Iterable[RuptureEvent]) -> dict[UUID, RuptureEvent]:
    """Of each episode, what was said of it at the highest version."""
    latest: dict[UUID, RuptureEvent] = {}
    for event in rupture_events:
        previous = latest.get(event.episode_id)
        if previous is None or previous.version < event.version:
            latest[event.episode_id] = event
    return latest
