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
    facts = defaultdict[UUID, list[Fact]](list)
    for fact in record.facts.values():
        if isinstance(fact, FACTS):
            facts[fact.relationship_id].append(cast("Fact", fact))
    return {relationship: read_again(told, DEFAULT) for relationship, told in facts.items()}


def not_remembered(record: Record, seen: Seen) -> list[str]:
    """Facts that are in alliance's database and not on the topics, or the other way round; the same of judgements."""
    told = {fact.id: encode(fact) for fact in record.facts.values() if isinstance(fact, FACTS)}
    documents = seen.documents("alliance", "facts")
    wrong = [f"not kept: {fact}" for fact in told.keys() - documents.keys()]
    wrong += [f"on no topic: {fact}" for fact in documents.keys() - told.keys()]
    for which in told.keys() & documents.keys():
        fact = cast("Fact", record.facts[which])
        if (documents[which]["event"], documents[which]["r"]) != (told[which], fact.relationship_id):
            wrong.append(f"kept otherwise: {which}")
    resolved = {event.id: event.useful for event in record.alerts.values() if isinstance(event, AlertResolved)}
    judged = {which: document["useful"] for which, document in seen.documents("alliance", "judgements").items()}
    wrong += [f"judgement not kept, or on no topic: {i}" for i, _ in set(resolved.items()) ^ set(judged.items())]
    return wrong


def not_as_refolded(kept: Mapping[UUID, State], read: Mapping[UUID, Read]) -> list[str]:
    """Relationships whose state is not what all their facts give."""
    wrong = [f"{relationship}: has no state" for relationship in read.keys() - kept.keys()]
    wrong += [f"{relationship}: has a state and no facts" for relationship in kept.keys() - read.keys()]
    wrong += [
        f"{relationship}: version {kept[relationship].version} is not what its facts give"
        for relationship in kept.keys() & read.keys()
        if kept[relationship].alliance != _as_kept(read[relationship].alliance)
    ]
    return wrong


def _as_kept(alliance: Alliance) -> Alliance:
    return _STATE.validate_json(_STATE.dump_json(alliance))


def not_told(kept: Mapping[UUID, State], read: Mapping[UUID, Read], record: Record) -> list[str]:
    """What follows from a state and was not told, and what was told of states that there are not."""
    last, highest = last_words(record.ruptures.values()), defaultdict[UUID, int](int)
    for event in (*record.updates.values(), *record.ruptures.values()):
        highest[event.relationship_id] = max(highest[event.relationship_id], event.version)
    wrong = [f"{r}: told, and has no state" for r in highest.keys() - kept.keys()]
    wrong += [f"{r}: told version {highest[r]} of {s.version}" for r, s in kept.items() if highest[r] > s.version]
    for relationship, state in kept.items():
        if relationship in read:
            follows = what_follows(relationship, read[relationship], state.version, DEFAULT)
            wrong += [
                f"{relationship}: {event.kind()} of version {state.version} was not told, or is not the last word"
                for event in follows
                if not _was_told(event, record, last)
            ]
    return wrong


def _was_told(event: Event, record: Record, last: Mapping[UUID, RuptureEvent]) -> bool:
    if not isinstance(event, RuptureEvent):
        return record.updates.get(event.key) == event
    word = last.get(event.episode_id)
    # What is over is told once; its relationship has gone on to other versions since.
    over = isinstance(event, RuptureRepaired | RuptureRetracted)
    return word is not None and type(word) is type(event) and _says(word, over) == _says(event, over)


def _says(event: RuptureEvent, over: bool) -> dict[str, Any]:
    return event.model_dump(exclude={"id", "version"} if over else None)


def last_words(ruptures: Iterable[RuptureEvent]) -> dict[UUID, RuptureEvent]:
    """Of each episode, what was said of it at the highest version."""
    last: dict[UUID, RuptureEvent] = {}
    for event in ruptures:
        before = last.get(event.episode_id)
        if before is None or before.version < event.version:
            last[event.episode_id] = event
    return last
