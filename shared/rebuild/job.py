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

    async def read(self, task: Share, done: Done) -> Counts:
        """Work out what ought to be there, and write what differs beside what is there."""

    async def swap(self, task: Share, done: Done) -> Counts:
        """Put what was written beside in place, tell what follows, and forget it; what was found."""


class Work:
    """The shares of one rebuild, and MongoDB keeping them. Every method raises StoreUnavailable."""

    def __init__(self, mongo: Mongo) -> None:
        self._runs = mongo["rebuild"]
        self._shares = mongo["rebuild_shares"]
        self._owner = uuid4()
        self._run: UUID | None = None

    async def join(self, policy_hash: str, message_counts: Sequence[int]) -> None:
        """Take part in the rebuild that is under way, else begin one. `under` names what it is rebuilt under.

        `sizes` says how many messages lie on each partition number. Raises NotPossible.
        """
        fields = {
            "run": uuid4(),
            "under": policy_hash,
            "shares": [
                [partition_slice.partition, partition_slice.number, partition_slice.of, message_count]
                for partition_slice, message_count in cut(message_counts)
            ],
        }
        no_active_run = {"_id": RUN, "finished_at": {"$exists": True}}
        with unavailable():
            try:
                run: Document | None = await self._runs.find_one_and_update(
                    no_active_run,
                    {"$set": fields, "$currentDate": {"begun_at": True}, "$unset": {"finished_at": ""}},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                run = await self._runs.find_one({"_id": RUN})
        if run is None:
            raise StoreUnavailable("a rebuild that was under way is gone")
        if run["under"] != policy_hash:
            raise NotPossible(
                f"a rebuild was begun at {run['begun_at']:%Y-%m-%d %H:%M} UTC under other policies ({run['under']}, "
                f"now {policy_hash}); end it under those, or give it up with --afresh"
            )
        self._run = run["run"]
        with unavailable():
            await self._shares.delete_many({"run": {"$ne": self._run}})
        await insert_new(self._shares, [*_shares(run)])

    async def give_up(self) -> None:
        """Forget the rebuild that was begun and not ended. Raises NotPossible while somebody is at it."""
        with unavailable():
            claimed = await self._shares.find_one({"$expr": {"$gt": ["$until", "$$NOW"]}})
            if claimed is not None:
                raise NotPossible(f"somebody is at work on {claimed['_id']}; wait until they have ended, or end them")
            await self._runs.update_one({"_id": RUN}, {"$currentDate": {"finished_at": True}})

    async def waiting(self) -> Counter[Stage]:
        """How many messages wait at each stage; those that are done count too."""
        with unavailable():
            tasks = await self._shares.find({"run": self._run}, {"stage": 1, "messages": 1}).to_list(None)
        counts: Counter[Stage] = Counter()
        for task in tasks:
            counts[task["stage"]] += task["messages"]
        return counts

    async def claim(self, phase: Stage) -> Share | None:
        """Take a share that is at `stage` and that nobody holds; none where all are held."""
        claimable = {"run": self._run, "stage": phase, "$expr": {"$lt": ["$until", "$$NOW"]}}
        with unavailable():
            task = await self._shares.find_one_and_update(
                claimable, [{"$set": {"owner": self._owner, "until": _LEASE_ENDS}}], sort=[("_id", 1)]
            )
        if task is None:
            return None
        return Share(task["_id"], Slice(task["partition"], task["slice"], task["slices"]), task["messages"])

    @asynccontextmanager
    async def held(self, task: Share) -> AsyncIterator[None]:
        """Nobody else takes the share meanwhile, as long as the database hears of us."""
        async with background(self._renew(task)):
            yield

    async def through(self, task: Share, phase: Stage, counts: Counts) -> None:
        """The share has come through `stage`; it counts once, also when two did it at once."""
        change: Document = {"$set": {"stage": NEXT[phase], "until": FREE}}
        if counts:
            change["$inc"] = {f"counts.{name}": count for name, count in counts.items()}
        with unavailable():
            await self._shares.update_one({"_id": task.id, "stage": phase, "owner": self._owner}, change)

    async def finish(self) -> Counts:
        """Every share is done; what was found in all of them."""
        with unavailable():
            await self._runs.update_one(
                {"_id": RUN, "run": self._run, "finished_at": {"$exists": False}},
                {"$currentDate": {"finished_at": True}},
            )
            tasks = await self._shares.find({"run": self._run}).to_list(None)
        return sum((Counter(task.get("counts", {})) for task in tasks), Counter())

    async def _renew(self, task: Share) -> None:
        while True:
            await asyncio.sleep(RENEW_EVERY)
            with suppress(StoreUnavailable), unavailable():  # who works on the share will hear of it
                await self._shares.update_one(
                    {"_id": task.id, "owner": self._owner}, [{"$set": {"until": _LEASE_ENDS}}]
                )


async def rebuild(view: View, job: Work, report_progress: Progress) -> Counts:
    """Do what is left of a rebuild that was joined, together with whoever else does; what was found in all of it."""
    handlers: dict[Stage, Callable[[Share, Done], Awaitable[Counts]]] = {"read": view.read, "swap": view.swap}
    for phase, handle in handlers.items():
        phase_progress = _SoFar(phase, report_progress)
        while phase_progress.left(await job.waiting()):
            task = await job.claim(phase)
            if task is None:
                await asyncio.sleep(LOOK_EVERY)
                continue
            async with job.held(task):
                counts = await handle(task, phase_progress.more)
            await job.through(task, phase, counts)
    return await job.finish()


class _SoFar:
    """Says how far a stage is, as soon as that changed."""

    def __init__(self, phase: Stage, report_progress: Progress) -> None:
        self._stage = phase
        self._progress = report_progress
        self._through = -1
        self._count = 0

    def left(self, counts: Counter[Stage]) -> bool:
        """Whether anything is left to do at this stage, by anybody."""
        done_messages = counts["done"] + (counts["swap"] if self._stage == "read" else 0)
        self._count = counts.total()
        self._say(done_messages)
        return self._stage in counts

    def more(self, messages: int) -> None:
        """So many more; those that others have done meanwhile are not among them."""
        self._say(min(self._through + messages, self._count - 1))

    def _say(self, done_messages: int) -> None:
        if done_messages != self._through:
            self._through = done_messages
            self._progress(self._stage, done_messages, self._count)


def cut(message_counts: Sequence[int]) -> list[tuple[Slice, int]]:
    """The partition numbers in slices that can be held in memory, with about how many messages are in each."""
    slice_counts = [max(1, ceil(message_count / MOST_IN_MEMORY)) for message_count in message_counts]
    return [
        (Slice(partition, index, slice_count), message_counts[partition] // slice_count)
        for partition, slice_count in enumerate(slice_counts)
        for index in range(slice_count)
    ]


def _shares(run: Document) -> list[Document]:
    return [
        {
            "_id": f"{run['run']}/{partition:04}/{index:04}",
            "run": run["run"],
            "partition": partition,
            "slice": index,
            "slices": slice_count,
            "messages": message_count,
            "stage": "read",
            "until": FREE,
        }
        for partition, index, slice_count, message_count in run["shares"]
    ]
