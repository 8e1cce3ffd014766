"""Relationships, alerts, clinicians and their channels in MongoDB.

Event handlers and HTTP requests write the same alerts: each writes only the fields of the alert (`$set`), guarded by
the version at which it was read (`v`). So neither overwrites the other's change, and neither touches the outbox
entries of a document (`owed`). Queries use the stored field names, which differ from those of the code in a few cases
(`stored_names.py`).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import ValidationError
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from services.notify.domain.alert import STATUS_RANK, Alert
from services.notify.domain.relationship import Relationship
from services.notify.domain.retention import is_past_retention
from services.notify.domain.routing import ChannelAddresses
from services.notify.store.protocol import ACTIVE_STATUSES, AlertCounts, InboxCounts
from services.notify.store.stored_names import STORED_NAMES
from shared.access.clinic_id import ClinicId
from shared.clinics.backfill import UnknownClinics
from shared.clinics.mongo import UNKNOWN, MongoClinics, within
from shared.events import ClinicianRegistered, ClinicianUpdated
from shared.events.model import SEVERITY_RANK
from shared.mongo.client import Collection as MongoCollection
from shared.mongo.client import (
    Document,
    GuardedWrite,
    Mongo,
    has_errors_besides_duplicates,
    server_time,
    translate_errors,
    write_guarded,
)
from shared.outbox.documents import Change, Decide, Documents, Versioned
from shared.outbox.relay import Outbox

ALERTS = "alerts"


class MongoStore:
    """A store in MongoDB: one collection for each of relationships, alerts, clinicians and channels."""

    def __init__(self, mongo: Mongo, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self._mongo = mongo
        self._relationships = mongo["relationships"]
        self._alerts = mongo[ALERTS]
        self._clinicians = mongo["clinicians"]
        self._channels = mongo["channels"]
        self._documents = Documents(self._alerts, Alert, outbox, clock, STORED_NAMES)
        self._clinics_of_alerts = MongoClinics(self._alerts, "relationship_id")

    async def create_indexes(self) -> None:
        """Create the indexes; only speed depends on them."""
        with translate_errors():
            await self._alerts.create_index("relationship_id", name="relationship")
            await self._alerts.create_index(
                [("clinician_id", 1), ("place", 1), ("said.last_sign_at", -1)], name="inbox"
            )
            await self._alerts.create_index("said.last_sign_at", name="recent")
            await self._alerts.create_index(
                [("place", 1), ("said.last_sign_at", 1)], name="waiting", partialFilterExpression={"unsettled": True}
            )
            for collection in (self._relationships, self._clinicians):
                await collection.create_index("clinic_id", name="unknown_clinic", partialFilterExpression=UNKNOWN)
        await self._clinics_of_alerts.create_index()

    async def count_active_alerts(self) -> AlertCounts:
        counts: AlertCounts = {}
        for severity, rank in SEVERITY_RANK.items():
            for status in ACTIVE_STATUSES:
                query = {"unsettled": True, "place": 10 * STATUS_RANK[status] - rank}
                with translate_errors():
                    count = await self._alerts.count_documents(query)
                    oldest = await self._alerts.find(query).sort("said.last_sign_at", 1).limit(1).to_list(1)
                counts[severity, status] = count, oldest[0]["said"]["last_sign_at"] if oldest else None
        return counts

    async def load_relationships(self, ids: Collection[UUID]) -> dict[UUID, Versioned[Relationship]]:
        with translate_errors():
            found = await self._relationships.find({"_id": {"$in": list(ids)}}).to_list(None)
        stored = {d["_id"]: Versioned(d["_id"], STORED_NAMES.from_document(Relationship, d), d["v"]) for d in found}
        return {r: stored.get(r) or Versioned(r, Relationship(relationship_id=r)) for r in ids}

    async def save_relationships(self, changed: Sequence[Versioned[Relationship]]) -> set[UUID]:
        return await _save(self._relationships, changed)

    async def load_versioned_alerts(
        self, alert_ids: Iterable[UUID], relationships: Iterable[UUID], withdrawn: Iterable[UUID] = ()
    ) -> list[Versioned[Alert]]:
        may_change = {"$or": [{"unsettled": True}, {"said.episode": "open", "supported": True}]}
        conditions: list[Document] = [
            {"_id": {"$in": list(alert_ids)}},
            {"relationship_id": {"$in": list(relationships)}, **may_change},
        ]
        if withdrawn_ids := list(withdrawn):
            conditions.append({"relationship_id": {"$in": withdrawn_ids}})
        with translate_errors():
            found = await self._alerts.find({"$or": conditions}).to_list(None)
        return [Versioned(d["_id"], STORED_NAMES.from_document(Alert, d), d["v"]) for d in found]

    async def save_alerts(self, changed: Sequence[Versioned[Alert]]) -> set[UUID]:
        return await _save(self._alerts, changed)

    async def now(self) -> datetime:
        return await server_time(self._mongo.database)

    async def remove_past_alerts(self, retained_since: datetime) -> int:
        query: Document = {"unsettled": False, "said.last_sign_at": {"$lt": retained_since}}
        removed = 0
        with translate_errors():
            async for document in self._alerts.find(query):
                try:
                    alert = STORED_NAMES.from_document(Alert, document)
                except ValidationError:
                    continue  # one that cannot be read; `verify` reports it
                if is_past_retention(alert, retained_since):
                    unchanged = {"_id": document["_id"], "v": document["v"], "owed.0": {"$exists": False}}
                    removed += (await self._alerts.delete_one(unchanged)).deleted_count
        return removed

    async def erase_alerts(self, relationships: Collection[UUID]) -> None:
        with translate_errors():
            await self._alerts.delete_many({"relationship_id": {"$in": list(relationships)}})

    async def load_alerts(self, ids: Collection[UUID]) -> dict[UUID, Alert]:
        with translate_errors():
            found = await self._alerts.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {d["_id"]: STORED_NAMES.from_document(Alert, d) for d in found}

    async def find_alert(self, clinic: ClinicId | None, alert_id: UUID) -> Alert | None:
        return await self._documents.within(clinic).get(alert_id)

    async def find_relationships(self, clinic: ClinicId | None, ids: Collection[UUID]) -> Mapping[UUID, Relationship]:
        with translate_errors():
            found = await self._relationships.find(within(clinic, {"_id": {"$in": list(ids)}})).to_list(None)
        return {d["_id"]: STORED_NAMES.from_document(Relationship, d) for d in found}

    async def change_alert(self, clinic: ClinicId | None, alert_id: UUID, decide: Decide[Alert]) -> Change[Alert]:
        return await self._documents.within(clinic).change(alert_id, decide)

    async def list_inbox_alerts(
        self, clinic: ClinicId | None, clinician_id: UUID, limit: int, skip: int = 0
    ) -> list[Alert]:
        with translate_errors():
            found = (
                await self._alerts.find(_inbox_query(clinic, clinician_id))
                .sort([("place", 1), ("said.last_sign_at", -1), ("_id", 1)])
                .skip(skip)
                .to_list(limit)
            )
        return [STORED_NAMES.from_document(Alert, d) for d in found]

    async def count_inbox_alerts(self, clinic: ClinicId | None, clinician_id: UUID) -> InboxCounts:
        query = _inbox_query(clinic, clinician_id)
        with translate_errors():
            active = await self._alerts.count_documents({**query, "unsettled": True})
            total = await self._alerts.count_documents(query)
        return InboxCounts(active, total)

    async def list_alerts_to_send(self, clinic: ClinicId | None, clinician_id: UUID, since: datetime) -> list[Alert]:
        return await self._find_active(since, within(clinic, {"clinician_id": clinician_id}))

    async def list_active_alerts(self, since: datetime) -> list[Alert]:
        return await self._find_active(since, {})

    async def _find_active(self, since: datetime, condition: Document) -> list[Alert]:
        query = {"unsettled": True, "said.last_sign_at": {"$gte": since}, **condition}
        with translate_errors():
            found = await self._alerts.find(query).to_list(None)
        return [STORED_NAMES.from_document(Alert, d) for d in found]

    async def save_clinicians(self, clinicians: Iterable[ClinicianRegistered | ClinicianUpdated]) -> None:
        latest = {c.clinician_id: c for c in sorted(clinicians, key=lambda c: c.occurred_at)}
        if not latest:
            return
        writes = [
            UpdateOne(
                {
                    "_id": c.clinician_id,
                    # The same event fills in the clinic, which an older version did not store.
                    "$or": [{"told_at": {"$lt": c.occurred_at}}, {"told_at": c.occurred_at, **UNKNOWN}],
                },
                {"$set": {"time_zone": c.time_zone, "clinic_id": c.clinic_id, "told_at": c.occurred_at}},
                upsert=True,
            )
            for c in latest.values()
        ]
        try:
            with translate_errors():
                await self._clinicians.bulk_write(writes, ordered=False)
        except BulkWriteError as error:  # a duplicate means that a later event is stored already
            if has_errors_besides_duplicates(error):
                raise

    async def find_time_zone(self, clinic: ClinicId | None, clinician_id: UUID) -> str | None:
        with translate_errors():
            found = await self._clinicians.find_one(within(clinic, {"_id": clinician_id}))
        return found["time_zone"] if found else None

    async def load_channels(self, clinicians: Collection[UUID]) -> Mapping[UUID, ChannelAddresses]:
        with translate_errors():
            found = await self._channels.find({"_id": {"$in": list(clinicians)}}).to_list(None)
        return {d["_id"]: ChannelAddresses.model_validate(d) for d in found}

    async def save_channels(self, clinic: ClinicId | None, clinician_id: UUID, addresses: ChannelAddresses) -> bool:
        if clinic is not None and await self.find_time_zone(clinic, clinician_id) is None:
            return False
        with translate_errors():
            await self._channels.replace_one({"_id": clinician_id}, addresses.model_dump(), upsert=True)
        return True

    async def count_unknown_clinics(self) -> UnknownClinics:
        with translate_errors():
            relationships = await self._relationships.count_documents({**UNKNOWN, "erased": {"$ne": True}})
            clinicians = await self._clinicians.count_documents(UNKNOWN)
        return UnknownClinics(relationships + clinicians, await self._clinics_of_alerts.count_unknown())

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        return await self._clinics_of_alerts.list_unknown(after, limit)

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        await self._clinics_of_alerts.fill_in(clinics)


def _inbox_query(clinic: ClinicId | None, clinician_id: UUID) -> Document:
    query = {
        "clinician_id": clinician_id,
        "said.end_reason": {"$ne": "consent_withdrawn"},
        "consent_withdrawn": {"$ne": True},
    }
    return within(clinic, query)


async def _save(collection: MongoCollection, changed: Sequence[Versioned[Any]]) -> set[UUID]:
    return await write_guarded(
        collection, [GuardedWrite(k.id, k.version, STORED_NAMES.to_document(k.value)) for k in changed]
    )
