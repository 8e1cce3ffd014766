"""Deliberate defects: each removes from a recording what a bad upgrade would lose, and the checker must detect it."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from tests.system.upgrade.archive import Collection, Recording

Defect = Callable[[Recording], None]


def lose_outbox_entry(recording: Recording) -> None:
    """One event that was acknowledged is never published."""
    entry = recording.expected["outbox"][0]["event"]
    for collections in recording.databases.values():
        for collection in collections.values():
            for document in collection.documents:
                entries = document.get("owed", [])
                entries[:] = [one for one in entries if str(one["id"]) != entry]


def lose_alert(recording: Recording) -> None:
    """One open alert is missing from the inbox."""
    gone = next(alert["alert"] for alert in recording.expected["unchanged"] if alert["status"] == "open")
    _remove(recording.databases["attune_notify"]["alerts"], gone)


def lose_lag(recording: Recording) -> None:
    """Alliance skips the records that it has not consumed."""
    offsets = recording.groups["alliance"]
    for topic in offsets:
        for partition in offsets[topic]:
            offsets[topic][partition] = sum(record.partition == partition for record in recording.topics[topic])


def lose_lapse(recording: Recording) -> None:
    """One overdue feedback request never lapses."""
    form = recording.expected["lapses"][0]["session"]
    for document in recording.databases["attune_sessions"]["sessions"].documents:
        if str(document["_id"]) == form:
            document["next_lapse_at"] = None


def lose_event(recording: Recording) -> None:
    """One event is missing from alliance's history."""
    recording.databases["attune_alliance"]["facts"].documents.pop()


def lose_resolution(recording: Recording) -> None:
    """A dead letter that was discarded is open again."""
    for records in recording.topics.values():
        for place, record in enumerate(records):
            if any(value == b"closed" for _, value in record.headers):
                records[place] = replace(record, headers=())


def keep_lease(recording: Recording) -> None:
    """A lease never expires, so its message is never sent."""
    held = [d for d in recording.databases["attune_notify"]["deliveries"].documents if d.get("held")]
    for document in held:
        document["next_at"] = document["next_at"].replace(year=document["next_at"].year + 1)


DEFECTS: Mapping[str, Defect] = {
    defect.__name__: defect
    for defect in (lose_outbox_entry, lose_alert, lose_lag, lose_lapse, lose_event, lose_resolution, keep_lease)
}


def _remove(collection: Collection, which: str) -> None:
    collection.documents[:] = [document for document in collection.documents if str(document["_id"]) != which]
