"""The messages that are owed, each under an id that follows from what it is about, and MongoDB keeping them.

A document with a `next_at` is still to be delivered. Whoever claims it moves `next_at` behind a lease, so that
nobody else takes it meanwhile, and so that somebody does when the claimant dies. Every method raises
StoreUnavailable.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pymongo import ReturnDocument

from services.notify.domain.routing import Delivery
from services.notify.metrics import Outcome
from shared.mongo import Mongo, insert_new, unavailable

LEASE = timedelta(minutes=10)
"""Far longer than a try may take."""


@dataclass(frozen=True)
class Claimed:
    """A message that is ours until the lease ends."""

    delivery: Delivery
    attempts: int
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
            [{"_id": d.id, **d.model_dump(), "attempts": 0, "since": now, "next_at": now} for d in deliveries],
        )

    async def claim(self, now: datetime) -> Claimed | None:
        """Take the message that has been due for longest; none when nothing is due."""
        with unavailable():
            found = await self._deliveries.find_one_and_update(
                {"next_at": {"$lte": now}},
                {"$set": {"next_at": now + LEASE}, "$inc": {"attempts": 1}},
                sort=[("next_at", 1)],
                return_document=ReturnDocument.AFTER,
            )
        if found is None:
            return None
        return Claimed(Delivery.model_validate(found), found["attempts"], found["since"], found.get("unsure", 0))

    async def settle(self, claimed: Claimed, outcome: Outcome, now: datetime) -> None:
        """It is over; safe to repeat. Whoever lost the lease meanwhile changes nothing."""
        with unavailable():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts},
                {"$set": {"outcome": outcome, "settled_at": now}, "$unset": {"next_at": ""}},
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
                {"$set": {"next_at": now, "since": now}, "$unset": {"outcome": "", "settled_at": ""}},
            )

    async def put_off(self, claimed: Claimed, until: datetime, unsure: int) -> None:
        """Try again at `until`, after so many tries whose answer was lost; safe to repeat."""
        with unavailable():
            await self._deliveries.update_one(
                {"_id": claimed.delivery.id, "attempts": claimed.attempts, "next_at": {"$exists": True}},
                {"$set": {"next_at": until, "unsure": unsure}},
            )

    async def due(self) -> int:
        """How many are still to be delivered."""
        with unavailable():
            return await self._deliveries.count_documents({"next_at": {"$exists": True}})
