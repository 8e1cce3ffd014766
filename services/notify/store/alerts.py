"""Relationships, alerts, clinicians and their channels, and MongoDB keeping them.

Every method raises StoreUnavailable and is safe to repeat. Consumers and people write the same alerts: each writes
only the fields of the alert (`$set`), over the version that it read (`v`), so that nobody undoes the other's work
and nobody touches the events that a document still owes.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from services.notify.domain.alert import PLACE, WEIGHT, Alert, Status
from services.notify.domain.relationship import Relationship
from services.notify.domain.routing import Channels
from shared.events import ClinicianRegistered, ClinicianUpdated, Severity
from shared.mongo.client import Collection as MongoCollection
from shared.mongo.client import Document, Guarded, Mongo, other_than_duplicates, unavailable, write_guarded
from shared.outbox.documents import Decide, Documents
from shared.outbox.relay import Outbox

ALERTS = "alerts"
WAITING: tuple[Status, ...] = ("open", "acknowledged")

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Kept(Generic[T]):
    """A document as it was read or is to be written, and the version it was read at; 0 when it is new."""

    id: UUID
    is_now: T
    version: int = 0


class Store:
    """Remembers what alerts follow from, and the alerts."""

    def __init__(self, mongo: Mongo, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self._relationships = mongo["relationships"]
        self._alerts = mongo[ALERTS]
        self._clinicians = mongo["clinicians"]
        self._channels = mongo["channels"]
        self._documents = Documents(self._alerts, Alert, outbox, clock)

    async def prepare(self) -> None:
        """Create the indexes; nothing but speed depends on them."""
        with unavailable():
            await self._alerts.create_index("relationship_id", name="relationship")
            await self._alerts.create_index(
                [("clinician_id", 1), ("place", 1), ("said.last_sign_at", -1)], name="inbox"
            )
            await self._alerts.create_index("said.last_sign_at", name="recent")
            await self._alerts.create_index(
                [("place", 1), ("said.last_sign_at", 1)], name="waiting", partialFilterExpression={"unsettled": True}
            )

    async def waiting(self) -> dict[tuple[Severity, Status], tuple[int, datetime | None]]:
        """How many alerts are open or taken on, and when the oldest of them showed its last sign."""
        counts = {}
        for severity, rank in WEIGHT.items():
            for status in WAITING:
                query = {"unsettled": True, "place": 10 * PLACE[status] - rank}
                with unavailable():
                    count = await self._alerts.count_documents(query)
                    oldest = await self._alerts.find(query).sort("said.last_sign_at", 1).limit(1).to_list(1)
                counts[severity, status] = count, oldest[0]["said"]["last_sign_at"] if oldest else None
        return counts

    async def relationships(self, ids: Collection[UUID]) -> dict[UUID, Kept[Relationship]]:
        """Each as it was last kept; a new one where there is none."""
        with unavailable():
            found = await self._relationships.find({"_id": {"$in": list(ids)}}).to_list(None)
        stored = {d["_id"]: Kept(d["_id"], Relationship.model_validate(d), d["v"]) for d in found}
        return {r: stored.get(r) or Kept(r, Relationship(relationship_id=r)) for r in ids}

    async def keep_relationships(self, changed: Sequence[Kept[Relationship]]) -> set[UUID]:
        """Write each whole or not at all; return those that somebody else changed first."""
        return await _write(self._relationships, changed)

    async def alerts_of(self, alert_ids: Iterable[UUID], relationships: Iterable[UUID]) -> list[Kept[Alert]]:
        """Those alerts by their own ids, and those of `relationships` that are not settled."""
        active = {"relationship_id": {"$in": list(relationships)}, "unsettled": True}
        with unavailable():
            found = await self._alerts.find({"$or": [{"_id": {"$in": list(alert_ids)}}, active]}).to_list(None)
        return [Kept(d["_id"], Alert.model_validate(d), d["v"]) for d in found]

    async def keep_alerts(self, changed: Sequence[Kept[Alert]]) -> set[UUID]:
        """Write each whole or not at all; return those that somebody else changed first."""
        return await _write(self._alerts, changed)

    async def forget_alerts_of(self, relationships: Collection[UUID]) -> None:
        """Delete the alerts of erased clients."""
        with unavailable():
            await self._alerts.delete_many({"relationship_id": {"$in": list(relationships)}})

    async def alerts(self, ids: Collection[UUID]) -> dict[UUID, Alert]:
        """Those that exist."""
        with unavailable():
            found = await self._alerts.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {d["_id"]: Alert.model_validate(d) for d in found}

    async def change_alert(self, alert_id: UUID, decide: Decide[Alert]) -> Alert:
        """Decide and write, with the events that follow; raises what `decide` raises."""
        return await self._documents.change(alert_id, decide)

    async def inbox(self, clinician_id: UUID, most: int) -> list[Alert]:
        """The clinician's alerts: open first, most severe first, then the latest."""
        with unavailable():
            found = (
                await self._alerts.find({"clinician_id": clinician_id})
                .sort([("place", 1), ("said.last_sign_at", -1), ("_id", 1)])
                .to_list(most)
            )
        return [Alert.model_validate(d) for d in found]

    async def unsettled(self, since: datetime, clinician_id: UUID | None = None) -> list[Alert]:
        """The alerts, of one clinician or of all, that may still need to be told and whose last sign is recent."""
        query: Document = {"unsettled": True, "said.last_sign_at": {"$gte": since}}
        if clinician_id is not None:
            query["clinician_id"] = clinician_id
        with unavailable():
            found = await self._alerts.find(query).to_list(None)
        return [Alert.model_validate(d) for d in found]

    async def know(self, clinicians: Iterable[ClinicianRegistered | ClinicianUpdated]) -> None:
        """Keep what was told last of each clinician."""
        latest = {c.clinician_id: c for c in sorted(clinicians, key=lambda c: c.occurred_at)}
        if not latest:
            return
        writes = [
            UpdateOne(
                {"_id": c.clinician_id, "told_at": {"$lt": c.occurred_at}},
                {"$set": {"time_zone": c.time_zone, "told_at": c.occurred_at}},
                upsert=True,
            )
            for c in latest.values()
        ]
        try:
            with unavailable():
                await self._clinicians.bulk_write(writes, ordered=False)
        except BulkWriteError as error:  # who ran into a newer word had nothing newer to say
            if other_than_duplicates(error):
                raise

    async def time_zone(self, clinician_id: UUID) -> str | None:
        """Where the clinician lives, by name; none when intake's word has not arrived."""
        with unavailable():
            found = await self._clinicians.find_one({"_id": clinician_id})
        return found["time_zone"] if found else None

    async def channels(self, clinicians: Collection[UUID]) -> Mapping[UUID, Channels]:
        """Where each is reached; those who never said so are missing."""
        with unavailable():
            found = await self._channels.find({"_id": {"$in": list(clinicians)}}).to_list(None)
        return {d["_id"]: Channels.model_validate(d) for d in found}

    async def keep_channels(self, clinician_id: UUID, addresses: Channels) -> None:
        """Reach the clinician there from now on."""
        with unavailable():
            await self._channels.replace_one({"_id": clinician_id}, addresses.model_dump(), upsert=True)


async def _write(collection: MongoCollection, changed: Sequence[Kept[Any]]) -> set[UUID]:
    return await write_guarded(collection, [Guarded(k.id, k.version, k.is_now.model_dump()) for k in changed])
