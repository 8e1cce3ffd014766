"""What happens with a batch of events about relationships."""

from collections.abc import Sequence
from functools import reduce
from itertools import groupby

from services.sessions.domain.relationship import Relationship, evolve
from services.sessions.store.mongo import Store
from shared.events import ClientErased, Event


async def handle_batch(events: Sequence[Event], store: Store) -> None:
    """Learn of relationships, and forget the sessions of clients who are to be forgotten. Safe to repeat."""
    by_key = sorted(events, key=lambda event: event.key)
    told = {key: list(of_key) for key, of_key in groupby(by_key, key=lambda event: event.key)}

    def brought_up_to_date(known: Relationship) -> Relationship:
        return reduce(evolve, told[known.relationship_id], known)

    await store.update_relationships(told.keys(), brought_up_to_date)
    erased = {event.key for event in events if isinstance(event, ClientErased)}
    if erased:
        await store.erase_sessions(erased)
