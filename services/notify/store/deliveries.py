"""The messages that are owed, each under an id that follows from what it is about, and MongoDB keeping them.

A document with a `next_at` is still to be delivered. Whoever claims it holds it, and moves `next_at` behind a lease:
nobody else takes it while the lease is renewed, and somebody does soon after the holder died. What is due is told by
the database's clock, which all of us share; a process whose own clock is wrong takes nothing early and puts nothing
off for too long. Every method raises StoreUnavailable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from pymongo import ReturnDocument

from services.notify.domain.routing import Delivery
from services.notify.metrics import DeliveryOutcome
from shared.mongo.client import Document, Mongo, insert_new, translate_errors

LEASE_DURATION = timedelta(seconds=30)
"""How long a message stays with a holder that no longer renews it: no longer than an urgent alert may wait."""
DUE_IMMEDIATELY = datetime(1970, 1, 1, tzinfo=UTC)
"""The `next_at` of what nobody has tried yet: earlier than any clock."""


@dataclass(frozen=True)
class ClaimedDelivery:
    """A message that is ours until the lease ends."""

    delivery: Delivery
    attempts: int
    """With this try; it tells our claim from any other."""
    claimed_at: datetime
    """By the database's clock."""
    planned_at: datetime
    unknown_attempts: int = 0
    """How many tries went before whose answer was lost."""


class DeliveryStore:
    """Remembers what is owed to whom, and what became of it."""

    def __init__(self, mongo: Mongo) -> None:
        self._deliveries = mongo["deliveries"]

    async def create_indexes(self) -> None:
        """Create the indexes; nothing but speed depends on them."""
        with translate_errors():
            await self._deliveries.create_index("next_at", name="due", sparse=True)
            await self._deliveries.create_index("clinician_id", name="clinician")

    async def add(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Deliver each once, however often it is owed; safe to repeat."""
        await insert_new(
            self._deliveries,
            [
                {"_id": d.id, **d.model_dump(), "attempts": 0, "since": now, "next_at": DUE_IMMEDIATELY}
                for d in deliveries
            ],
        )

    async def claim(self, *, include_expired: bool) -> ClaimedDelivery | None:
        """Hold the message that has been due for longest; none when nothing is due.

        To take over is to claim also what somebody else held and did not renew in time.
        """
        query: Document = {"next_at": {"$gte": DUE_IMMEDIATELY}, "$expr": {"$lte": ["$next_at", "$$NOW"]}}
        if not include_expired:
            query["held"] = {"$ne": True}
        changes = {"next_at": _from_now(LEASE_DURATION), "attempts": {"$add": ["$attempts", 1]}, "held": True}
        with translate_errors():
            found = await self._deliveries.find_one_and_update(
                query, [{"$set": changes}], sort=[("next_at", 1)], return_document=ReturnDocument.AFTER
            )
        if found is None:
            return None
        return ClaimedDelivery(
            delivery=Delivery.model_validate(found),
            attempts=found["attempts"],
            claimed_at=found["next_at"] - LEASE_DURATION,
            planned_at=found["since"],
            unknown_attempts=found.get("unsure", 0),
        )

    async def renew(self, claimed: ClaimedDelivery) -> bool:
        """Hold it for another lease; whether it is still ours. Safe to repeat."""
        with translate_errors():
            renewed = await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts, "held": True},
                [{"$set": {"next_at": _from_now(LEASE_DURATION)}}],
            )
        return renewed.matched_count == 1

    async def complete(self, claimed: ClaimedDelivery, outcome: DeliveryOutcome) -> None:
        """It is over; safe to repeat. Whoever lost the lease meanwhile changes nothing."""
        with translate_errors():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts},
                [{"$set": {"outcome": outcome, "settled_at": "$$NOW"}}, {"$unset": ["next_at", "held"]}],
            )

    async def cancel(self, claimed: ClaimedDelivery) -> None:
        """Nobody needs to hear of it as things stand; should they change back, it is owed anew. Safe to repeat."""
        with translate_errors():
            await self._deliveries.delete_one({"_id": claimed.delivery.id, "attempts": claimed.attempts})

    async def reopen_failed(self, clinician_id: UUID, since: datetime, now: datetime) -> None:
        """The clinician is reached elsewhere now: what could not be delivered `since` then is due again."""
        with translate_errors():
            await self._deliveries.update_many(
                {"clinician_id": clinician_id, "outcome": {"$in": ["refused", "failed"]}, "since": {"$gte": since}},
                {"$set": {"next_at": DUE_IMMEDIATELY, "since": now}, "$unset": {"outcome": "", "settled_at": ""}},
            )

    async def schedule_retry(self, claimed: ClaimedDelivery, wait: timedelta, unknown_attempts: int) -> None:
        """Try again after `wait`, after so many tries whose answer was lost; safe to repeat."""
        with translate_errors():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts, "next_at": {"$exists": True}},
                [{"$set": {"next_at": _from_now(wait), "unsure": unknown_attempts}}, {"$unset": ["held"]}],
            )

    async def count_due(self) -> tuple[int, datetime | None]:
        """How many are still to be delivered, and since when the oldest is owed."""
        query: Document = {"next_at": {"$exists": True}}
        with translate_errors():
            count = await self._deliveries.count_documents(query)
            oldest = await self._deliveries.find(query, {"since": 1}).sort("since", 1).limit(1).to_list(1)
        return count, oldest[0]["since"] if oldest else None


def _from_now(wait: timedelta) -> dict[str, Any]:
    return {"$add": ["$$NOW", wait // timedelta(milliseconds=1)]}
