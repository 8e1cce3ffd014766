"""Rebuilding a view from the topics: how any number of processes share the work, and go on where one died.

The topics are cut into shares, each small enough to be held in memory. Every share is first read: what ought to
stand in the view is worked out, and what differs is written beside it. When all are read, each is swapped in. Whoever
works on a share holds a lease on it; when they die, somebody else does the share again, which is always safe. Two at
the same share do no harm, and only lose time.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil
from typing import Literal, Protocol
from uuid import UUID, uuid4

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.errors import StoreUnavailable
from shared.kafka.topic_reader import Slice
from shared.mongo.client import Document, Mongo, insert_new, unavailable
from shared.runtime.background import background
from shared.runtime.terminal import NotPossible

Stage = Literal["read", "swap", "done"]
NEXT: dict[Stage, Stage] = {"read": "swap", "swap": "done"}

LEASE_MS = 20_000
"""How long a share stays with somebody who died; by the database's clock, which all share."""
RENEW_EVERY = 5.0
LOOK_EVERY = 0.5
"""Seconds between two looks for a share that nobody holds."""
MOST_IN_MEMORY = 100_000
"""Messages in one share; as facts they take about 250 MB."""
FREE = datetime(1970, 1, 1, tzinfo=UTC)
"""The end of the lease on what nobody holds."""
RUN = "rebuild"

_LEASE_ENDS = {"$add": ["$$NOW", LEASE_MS]}

Counts = Counter[str]
Progress = Callable[[Stage, int, int], None]
"""Told the stage, and how many messages are through it, of how many."""
Done = Callable[[int], None]
"""Told of so many more messages."""


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the topics, and the lease on it."""

    id: str
    slice: Slice
    messages: int


class View(Protocol):
    """What is rebuilt. Both methods are safe to repeat, and to do twice at once."""

    async def read(self, share: Share, done: Done) -> Counts:
        """Work out what ought to be there, and write what differs beside what is there."""

    async def swap(self, share: Share, done: Done) -> Counts:
        """Put what was written beside in place, tell what follows, and forget it; what was found."""


class Work:
    """The shares of one rebuild, and MongoDB keeping them. Every method raises StoreUnavailable."""

    def __init__(self, mongo: Mongo) -> None:
        self._runs = mongo["rebuild"]
        self._shares = mongo["rebuild_shares"]
        self._owner = uuid4()
        self._run: UUID | None = None

    async def join(self, under: str, sizes: Sequence[int]) -> None:
        """Take part in the rebuild that is under way, else begin one. `under` names what it is rebuilt under.

        `sizes` says how many messages lie on each partition number. Raises NotPossible.
        """
        new = {
            "run": uuid4(),
            "under": under,
            "shares": [[which.partition, which.number, which.of, size] for which, size in cut(sizes)],
        }
        free = {"_id": RUN, "finished_at": {"$exists": True}}
        with unavailable():
            try:
                run: Document | None = await self._runs.find_one_and_update(
                    free,
                    {"$set": new, "$currentDate": {"begun_at": True}, "$unset": {"finished_at": ""}},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                run = await self._runs.find_one({"_id": RUN})
        if run is None:
            raise StoreUnavailable("a rebuild that was under way is gone")
        if run["under"] != under:
            raise NotPossible(
                f"a rebuild was begun at {run['begun_at']:%Y-%m-%d %H:%M} UTC under other policies ({run['under']}, "
                f"now {under}); end it under those, or give it up with --afresh"
            )
        self._run = run["run"]
        with unavailable():
            await self._shares.delete_many({"run": {"$ne": self._run}})
        await insert_new(self._shares, [*_shares(run)])

    async def give_up(self) -> None:
        """Forget the rebuild that was begun and not ended. Raises NotPossible while somebody is at it."""
        with unavailable():
            held = await self._shares.find_one({"$expr": {"$gt": ["$until", "$$NOW"]}})
            if held is not None:
                raise NotPossible(f"somebody is at work on {held['_id']}; wait until they have ended, or end them")
            await self._runs.update_one({"_id": RUN}, {"$currentDate": {"finished_at": True}})

    async def waiting(self) -> Counter[Stage]:
        """How many messages wait at each stage; those that are done count too."""
        with unavailable():
            shares = await self._shares.find({"run": self._run}, {"stage": 1, "messages": 1}).to_list(None)
        found: Counter[Stage] = Counter()
        for share in shares:
            found[share["stage"]] += share["messages"]
        return found

    async def claim(self, stage: Stage) -> Share | None:
        """Take a share that is at `stage` and that nobody holds; none where all are held."""
        free = {"run": self._run, "stage": stage, "$expr": {"$lt": ["$until", "$$NOW"]}}
        with unavailable():
            found = await self._shares.find_one_and_update(
                free, [{"$set": {"owner": self._owner, "until": _LEASE_ENDS}}], sort=[("_id", 1)]
            )
        if found is None:
            return None
        return Share(found["_id"], Slice(found["partition"], found["slice"], found["slices"]), found["messages"])

    @asynccontextmanager
    async def held(self, share: Share) -> AsyncIterator[None]:
        """Nobody else takes the share meanwhile, as long as the database hears of us."""
        async with background(self._renew(share)):
            yield

    async def through(self, share: Share, stage: Stage, counts: Counts) -> None:
        """The share has come through `stage`; it counts once, also when two did it at once."""
        change: Document = {"$set": {"stage": NEXT[stage], "until": FREE}}
        if counts:
            change["$inc"] = {f"counts.{name}": count for name, count in counts.items()}
        with unavailable():
            await self._shares.update_one({"_id": share.id, "stage": stage, "owner": self._owner}, change)

    async def finish(self) -> Counts:
        """Every share is done; what was found in all of them."""
        with unavailable():
            await self._runs.update_one(
                {"_id": RUN, "run": self._run, "finished_at": {"$exists": False}},
                {"$currentDate": {"finished_at": True}},
            )
            shares = await self._shares.find({"run": self._run}).to_list(None)
        return sum((Counter(share.get("counts", {})) for share in shares), Counter())

    async def _renew(self, share: Share) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            with suppress(StoreUnavailable), unavailable():  # who works on the share will hear of it
                await self._shares.update_one(
                    {"_id": share.id, "owner": self._owner}, [{"$set": {"until": _LEASE_ENDS}}]
                )


async def rebuild(view: View, work: Work, progress: Progress) -> Counts:
    """Do what is left of a rebuild that was joined, together with whoever else does; what was found in all of it."""
    do: dict[Stage, Callable[[Share, Done], Awaitable[Counts]]] = {"read": view.read, "swap": view.swap}
    for stage, work_on in do.items():
        so_far = _SoFar(stage, progress)
        while so_far.left(await work.waiting()):
            share = await work.claim(stage)
            if share is None:
                await asyncio.sleep(LOOK_EVERY)
                continue
            async with work.held(share):
                counts = await work_on(share, so_far.more)
            await work.through(share, stage, counts)
    return await work.finish()


class _SoFar:
    """Says how far a stage is, as soon as that changed."""

    def __init__(self, stage: Stage, progress: Progress) -> None:
        self._stage = stage
        self._progress = progress
        self._through = -1
        self._count = 0

    def left(self, waiting: Counter[Stage]) -> bool:
        """Whether anything is left to do at this stage, by anybody."""
        through = waiting["done"] + (waiting["swap"] if self._stage == "read" else 0)
        self._count = waiting.total()
        self._say(through)
        return self._stage in waiting

    def more(self, messages: int) -> None:
        """So many more; those that others have done meanwhile are not among them."""
        self._say(min(self._through + messages, self._count - 1))

    def _say(self, through: int) -> None:
        if through != self._through:
            self._through = through
            self._progress(self._stage, through, self._count)


def cut(sizes: Sequence[int]) -> list[tuple[Slice, int]]:
    """The partition numbers in slices that can be held in memory, with about how many messages are in each."""
    pieces = [max(1, ceil(size / MOST_IN_MEMORY)) for size in sizes]
    return [(Slice(p, number, of), sizes[p] // of) for p, of in enumerate(pieces) for number in range(of)]


def _shares(run: Document) -> list[Document]:
    return [
        {
            "_id": f"{run['run']}/{partition:04}/{number:04}",
            "run": run["run"],
            "partition": partition,
            "slice": number,
            "slices": of,
            "messages": size,
            "stage": "read",
            "until": FREE,
        }
        for partition, number, of, size in run["shares"]
    ]
