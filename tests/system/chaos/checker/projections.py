"""Whether each service has learned of relationships what the others told; nobody asks the others when in doubt."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from shared.events import (
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipEnded,
    RelationshipEvent,
    RelationshipStarted,
    SessionCancelled,
    SessionScheduled,
)
from tests.system.chaos.checker.observation import Document, Seen

HEARD_BY_SESSIONS = (RelationshipStarted, RelationshipEnded, ConsentGiven, ConsentWithdrawn)


def amiss(seen: Seen, apart: timedelta) -> list[str]:
    """What sessions and notify know of relationships, against what the topics say of them."""
    by_relationship = defaultdict[UUID, list[Event]](list)
    for fact in seen.record.facts.values():
        if isinstance(fact, RelationshipEvent):
            by_relationship[fact.relationship_id].append(fact)
    ahead = seen.now + apart
    wrong = []
    for relationship, facts in by_relationship.items():
        facts.sort(key=_when)
        sessions = seen.documents("sessions", "relationships").get(relationship)
        notify = seen.documents("notify", "relationships").get(relationship)
        wrong += [f"sessions of {relationship}: {what}" for what in _sessions_differ(facts, sessions)]
        wrong += [f"notify of {relationship}: {what}" for what in _notify_differ(facts, notify, seen, ahead)]
    return wrong


def _when(fact: Event) -> tuple[datetime, bool]:
    """Of two words at the same moment, the one that protects the client counts, and so does being called off."""
    return fact.occurred_at, isinstance(fact, ConsentWithdrawn | SessionCancelled)


def _sessions_differ(facts: list[Event], known: Document | None) -> Iterator[str]:
    heard = [
        f for f in facts if isinstance(f, RelationshipStarted | RelationshipEnded | ConsentGiven | ConsentWithdrawn)
    ]
    if not heard:
        return
    if known is None:
        yield "is not known"
        return
    words = [fact for fact in heard if isinstance(fact, ConsentGiven | ConsentWithdrawn)]
    yield from _differ(
        known,
        started_at=next((f.occurred_at for f in heard if isinstance(f, RelationshipStarted)), None),
        ended_at=next((f.occurred_at for f in heard if isinstance(f, RelationshipEnded)), None),
        consent=bool(words) and isinstance(words[-1], ConsentGiven),
    )


def _notify_differ(facts: list[Event], known: Document | None, seen: Seen, ahead: datetime) -> Iterator[str]:
    update = seen.record.updates.get(facts[0].key)
    if known is None:
        yield "is not known"
        return
    yield from _differ(
        known,
        clinician_id=next((f.clinician_id for f in facts if isinstance(f, RelationshipStarted)), None),
        ended_at=next((f.occurred_at for f in facts if isinstance(f, RelationshipEnded)), None),
        alliance_version=update.version if update else 0,
        open_episode_id=update.open_episode_id if update else None,
    )
    kept = {a["session_id"]: a["starts_at"] for a in known["appointments"] if not a["called_off"]}
    if {s: at for s, at in kept.items() if at > ahead} != _appointments(facts, ahead):
        yield "appointments"


def _appointments(facts: list[Event], ahead: datetime) -> dict[UUID, datetime]:
    """Those that lie ahead, as they were told last."""
    found: dict[UUID, datetime] = {}
    for fact in facts:
        if isinstance(fact, SessionScheduled):
            found[fact.session_id] = fact.starts_at
        elif isinstance(fact, SessionCancelled):
            found.pop(fact.session_id, None)
    return {session: starts_at for session, starts_at in found.items() if starts_at > ahead}


def _differ(known: Document, **told: Any) -> Iterator[str]:
    yield from (f"{name} {known[name]}, not {value}" for name, value in told.items() if known[name] != value)
