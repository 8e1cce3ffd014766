"""Outbox entries as older versions stored them."""

from datetime import datetime
from uuid import UUID, uuid4

from shared.mongo.client import Document

OLD_MESSAGE = (
    '{"specversion":"1.0","id":"%s","source":"/attune/notify","type":"clinic.alert.resolved.v1",'
    '"time":"2026-11-27T23:39:30.735000Z","partitionkey":"%s","datacontenttype":"application/json","data":'
    '{"alert_id":"7e99f3d9-ca65-5cc3-86fc-e1b7e3833ff3","episode_id":"6cd8ac2f-1bac-5e70-97e3-c263f1c77f50",'
    '"clinician_id":"77d8ecad-d4e7-5fb4-b440-3b540760e518","useful":true}}'
)
"""As commit 2d82b9e encoded an event; encoded today, it would also have a severity."""


def create_old_entry(relationship_id: UUID, since: datetime) -> Document:
    """An outbox entry of a process of commit 2d82b9e."""
    event_id = uuid4()
    return {"id": event_id, "event": OLD_MESSAGE % (event_id, relationship_id), "since": since}
