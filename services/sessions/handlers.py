"""What happens with a batch of events about relationships and clinics."""

from collections.abc import Sequence
from functools import reduce
from itertools import groupby

from services.sessions.domain.relationship import Relationship, evolve
from services.sessions.store.protocol import Store
from shared.events import ClientErased, ClinicUpdated, Event, RelationshipEvent


async def handle_batch(events: Sequence[Event], store: Store) -> None:
    """Update the relationships and clinics, and erase the sessions of erased clients.

    Idempotent; raises StoreUnavailable.
    """
    await store.save_clinics([event for event in events if isinstance(event, ClinicUpdated)])
    about_relationships = [event for event in events if isinstance(event, RelationshipEvent)]
    sorted_events = sorted(about_relationships, key=lambda event: event.key)
    events_by_relationship = {key: list(group) for key, group in groupby(sorted_events, key=lambda event: event.key)}

    def evolve_all(relationship: Relationship) -> Relationship:
        return reduce(evolve, events_by_relationship[relationship.relationship_id], relationship)

    await store.update_relationships(events_by_relationship.keys(), evolve_all)
    erased_ids = {event.key for event in events if isinstance(event, ClientErased)}
    if erased_ids:
        await store.erase_sessions(erased_ids)
