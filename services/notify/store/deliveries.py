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
from services.notify.metrics import Outcome
from shared.mongo.client import Document, Mongo, insert_new, unavailable

LEASE = timedelta(seconds=30)
"""How long a message stays with a holder that no longer renews it: no longer than an urgent alert may wait."""
AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
"""The `next_at` of what nobody has tried yet: earlier than any clock."""


@dataclass(frozen=True)
class Claimed:
    """A message that is ours until the lease ends."""

    delivery: Delivery
    attempts: int
    """With this try; it tells our claim from any other."""
    at: datetime
    """By the database's clock."""
    owed_since: datetime
    unsure: int = 0
    """How many tries went before whose answer was lost."""


class Deliveries:
    """Remembers what is owed to whom, and what became of it."""

    def __init__(self, mongo: Mongo) -> None:
        self._deliveries = mongo["deliveries"]

    async def prepare(self) -> None:
        """Create the indexes; nothing but speed depends on them."""
        with unavailable():
            await self._deliveries.create_index("next_at", name="due", sparse=True)
            await self._deliveries.create_index("clinician_id", name="clinician")

    async def owe(self, deliveries: Sequence[Delivery], now: datetime) -> None:
        """Deliver each once, however often it is owed; safe to repeat."""
        await insert_new(
            self._deliveries,
            [{"_id": d.id, **d.model_dump(), "attempts": 0, "since": now, "next_at": AT_ONCE} for d in deliveries],
        )

    async def claim(self, *, take_over: bool) -> Claimed | None:
        """Hold the message that has been due for longest; none when nothing is due.

        To take over is to claim also what somebody else held and did not renew in time.
        """
        query: Document = {"next_at": {"$gte": AT_ONCE}, "$expr": {"$lte": ["$next_at", "$$NOW"]}}
        if not take_over:
            query["held"] = {"$ne": True}
        changes = {"next_at": _from_now(LEASE), "attempts": {"$add": ["$attempts", 1]}, "held": True}
        with unavailable():
            found = await self._deliveries.find_one_and_update(
                query, [{"$set": changes}], sort=[("next_at", 1)], return_document=ReturnDocument.AFTER
            )
        if found is None:
            return None
        return Claimed(
            delivery=Delivery.model_validate(found),
            attempts=found["attempts"],
            at=found["next_at"] - LEASE,
            owed_since=found["since"],
            unsure=found.get("unsure", 0),
        )

    async def renew(self, claimed: Claimed) -> bool:
        """Hold it for another lease; whether it is still ours. Safe to repeat."""
        with unavailable():
            renewed = await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts, "held": True},
                [{"$set": {"next_at": _from_now(LEASE)}}],
            )
        return renewed.matched_count == 1

    async def settle(self, claimed: Claimed, outcome: Outcome) -> None:
        """It is over; safe to repeat. Whoever lost the lease meanwhile changes nothing."""
        with unavailable():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts},
                [{"$set": {"outcome": outcome, "settled_at": "$$NOW"}}, {"$unset": ["next_at", "held"]}],
            )

    async def drop(self, claimed: Claimed) -> None:
        """Nobody needs to hear of it as things stand; should they change back, it is owed anew. Safe to repeat."""
        with unavailable():
            await self._deliveries.delete_one({"_id": claimed.delivery.id, "attempts": claimed.attempts})

    async def try_again(self, clinician_id: UUID, since: datetime, now: datetime) -> None:
        """The clinician is reached elsewhere now: what could not be delivered `since` then is due again."""
        with unavailable():
            await self._deliveries.update_many(
                {"clinician_id": clinician_id, "outcome": {"$in": ["refused", "failed"]}, "since": {"$gte": since}},
                {"$set": {"next_at": AT_ONCE, "since": now}, "$unset": {"outcome": "", "settled_at": ""}},
            )

    async def put_off(self, claimed: Claimed, wait: timedelta, unsure: int) -> None:
        """Try again after `wait`, after so many tries whose answer was lost; safe to repeat."""
        with unavailable():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts, "next_at": {"$exists": True}},
                [{"$set": {"next_at": _from_now(wait), "unsure": unsure}}, {"$unset": ["held"]}],
            )

    async def due(self) -> tuple[int, datetime | None]:
        """How many are still to be delivered, and since when the oldest is owed."""
        query: Document = {"next_at": {"$exists": True}}
        with unavailable():
            count = await self._deliveries.count_documents(query)
            oldest = await self._deliveries.find(query, {"since": 1}).sort("since", 1).limit(1).to_list(1)
        return count, oldest[0]["since"] if oldest else None


def _from_now(wait: timedelta) -> dict[str, Any]:
    return {"$add": ["$$NOW", wait // timedelta(milliseconds=1)]}
