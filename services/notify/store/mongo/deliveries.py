"""Deliveries in MongoDB, each under an id derived from its alert, change and channel.

A document with a `next_at` is not yet delivered. Claiming it sets `held` and moves `next_at` to the end of a lease:
no other worker claims it while the lease is renewed, and another one does soon after its owner crashed. The clock is
that of the database, which all processes share.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from pymongo import ReturnDocument

from services.notify.domain.routing import ChannelName, Delivery, DeliveryOutcome
from services.notify.store.protocol import DUE_IMMEDIATELY, ClaimedDelivery
from services.notify.store.stored_names import STORED_OUTCOMES
from shared.access.clinic_id import ClinicId
from shared.clinics.mongo import MongoClinics, within
from shared.mongo.client import Document, Mongo, insert_new, translate_errors


class MongoDeliveryStore:
    """A delivery store in MongoDB."""

    def __init__(self, mongo: Mongo) -> None:
        self._deliveries = mongo["deliveries"]
        self._clinics = MongoClinics(self._deliveries, "alert_id")

    async def create_indexes(self) -> None:
        """Create the indexes; only speed depends on them."""
        with translate_errors():
            await self._deliveries.create_index("next_at", name="due", sparse=True)
            await self._deliveries.create_index("clinician_id", name="clinician")
            await self._deliveries.create_index("settled_at", name="settled", sparse=True)
        await self._clinics.create_index()

    async def add(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        await insert_new(
            self._deliveries,
            [
                {"_id": d.id, **d.model_dump(), "attempts": 0, "since": now, "next_at": DUE_IMMEDIATELY}
                for d in deliveries
            ],
        )

    async def claim(self, channel: ChannelName, lease: timedelta, *, include_expired: bool) -> ClaimedDelivery | None:
        query: Document = {
            "channel": channel,
            "next_at": {"$gte": DUE_IMMEDIATELY},
            "$expr": {"$lte": ["$next_at", "$$NOW"]},
        }
        if not include_expired:
            query["held"] = {"$ne": True}
        changes = {"next_at": _from_now(lease), "attempts": {"$add": ["$attempts", 1]}, "held": True}
        with translate_errors():
            found = await self._deliveries.find_one_and_update(
                query, [{"$set": changes}], sort=[("next_at", 1)], return_document=ReturnDocument.AFTER
            )
        if found is None:
            return None
        return ClaimedDelivery(
            delivery=Delivery.model_validate(found),
            attempts=found["attempts"],
            claimed_at=found["next_at"] - lease,
            planned_at=found["since"],
            unknown_attempts=found.get("unsure", 0),
        )

    async def renew(self, claimed: ClaimedDelivery, lease: timedelta) -> bool:
        with translate_errors():
            renewed = await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts, "held": True},
                [{"$set": {"next_at": _from_now(lease)}}],
            )
        return renewed.matched_count == 1

    async def complete(self, claimed: ClaimedDelivery, outcome: DeliveryOutcome) -> None:
        with translate_errors():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts},
                [
                    {"$set": {"outcome": STORED_OUTCOMES.get(outcome, outcome), "settled_at": "$$NOW"}},
                    {"$unset": ["next_at", "held"]},
                ],
            )

    async def schedule_retry(self, claimed: ClaimedDelivery, wait: timedelta, unknown_attempts: int) -> None:
        with translate_errors():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts, "next_at": {"$exists": True}},
                [{"$set": {"next_at": _from_now(wait), "unsure": unknown_attempts}}, {"$unset": ["held"]}],
            )

    async def cancel(self, claimed: ClaimedDelivery) -> None:
        with translate_errors():
            await self._deliveries.delete_one({"_id": claimed.delivery.id, "attempts": claimed.attempts})

    async def reopen_failed(self, clinic: ClinicId | None, clinician_id: UUID, since: datetime, now: datetime) -> None:
        query = {
            "clinician_id": clinician_id,
            "outcome": {"$in": [STORED_OUTCOMES["rejected"], "failed"]},
            "since": {"$gte": since},
        }
        with translate_errors():
            await self._deliveries.update_many(
                within(clinic, query),
                {"$set": {"next_at": DUE_IMMEDIATELY, "since": now}, "$unset": {"outcome": "", "settled_at": ""}},
            )

    async def list_completed(self, before: datetime, after: UUID | None, limit: int) -> list[Delivery]:
        query: Document = {"settled_at": {"$lt": before}}
        if after is not None:
            query["_id"] = {"$gt": after}
        with translate_errors():
            found = await self._deliveries.find(query).sort("_id", 1).limit(limit).to_list(limit)
        return [Delivery.model_validate(document) for document in found]

    async def remove_completed(self, ids: Collection[UUID]) -> int:
        with translate_errors():
            removed = await self._deliveries.delete_many({"_id": {"$in": list(ids)}, "settled_at": {"$exists": True}})
        return removed.deleted_count

    async def count_due(self) -> tuple[int, datetime | None]:
        query: Document = {"next_at": {"$exists": True}}
        with translate_errors():
            count = await self._deliveries.count_documents(query)
            oldest = await self._deliveries.find(query, {"since": 1}).sort("since", 1).limit(1).to_list(1)
        return count, oldest[0]["since"] if oldest else None

    async def list_unknown_clinics(self, after: UUID | None, limit: int) -> list[UUID]:
        return await self._clinics.list_unknown(after, limit)

    async def fill_in_clinics(self, clinics: Mapping[UUID, ClinicId]) -> None:
        await self._clinics.fill_in(clinics, has_versions=False)


def _from_now(wait: timedelta) -> dict[str, Any]:
    return {"$add": ["$$NOW", wait // timedelta(milliseconds=1)]}
