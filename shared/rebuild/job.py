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
from shared.kafka.topic_reader import PartitionSlice
from shared.mongo.client import Document, Mongo, insert_new, translate_errors
from shared.runtime.background import run_in_background
from shared.runtime.terminal import CommandError

Phase = Literal["read", "swap", "done"]
NEXT_PHASE: dict[Phase, Phase] = {"read": "swap", "swap": "done"}

LEASE_MS = 20_000
"""How long a share stays with somebody who died; by the database's clock, which all share."""
LEASE_RENEWAL_INTERVAL_SECONDS = 5.0
CLAIM_INTERVAL_SECONDS = 0.5
"""Seconds between two looks for a share that nobody holds."""
MAX_TASK_MESSAGES = 100_000
"""Messages in one share; as facts they take about 250 MB."""
EXPIRED_LEASE = datetime(1970, 1, 1, tzinfo=UTC)
"""The end of the lease on what nobody holds."""
RUN_ID = "rebuild"

_LEASE_END = {"$add": ["$$NOW", LEASE_MS]}

Counts = Counter[str]
ReportProgress = Callable[[Phase, int, int], None]
"""Told the stage, and how many messages are through it, of how many."""
Advance = Callable[[int], None]
"""Told of so many more messages."""


@dataclass(frozen=True, slots=True)
class RebuildTask:
    """A part of the topics, and the lease on it."""

    id: str
    partition_slice: PartitionSlice
    messages: int


class View(Protocol):
    """What is rebuilt. Both methods are safe to repeat, and to do twice at once."""

    async def stage(self, task: RebuildTask, advance: Advance) -> Counts:
        """Work out what ought to be there, and write what differs beside what is there."""

    async def swap(self, task: RebuildTask, advance: Advance) -> Counts:
        """Put what was written beside in place, tell what follows, and forget it; what was found."""


class RebuildJob:
    """The shares of one rebuild, and MongoDB keeping them. Every method raises StoreUnavailable."""

    def __init__(self, mongo: Mongo) -> None:
        self._runs = mongo["rebuild"]
        self._tasks = mongo["rebuild_shares"]
        self._owner = uuid4()
        self._run_id: UUID | None = None

    async def join(self, policy_hash: str, message_counts: Sequence[int]) -> None:
        """Take part in the rebuild that is under way, else begin one. `under` names what it is rebuilt under.

        `sizes` says how many messages lie on each partition number. Raises NotPossible.
        """
        fields = {
            "run": uuid4(),
            "under": policy_hash,
            "shares": [
                [partition_slice.partition, partition_slice.index, partition_slice.count, message_count]
                for partition_slice, message_count in slice_partitions(message_counts)
            ],
        }
        no_active_run = {"_id": RUN_ID, "finished_at": {"$exists": True}}
        with translate_errors():
            try:
                run: Document | None = await self._runs.find_one_and_update(
                    no_active_run,
                    {"$set": fields, "$currentDate": {"begun_at": True}, "$unset": {"finished_at": ""}},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                run = await self._runs.find_one({"_id": RUN_ID})
        if run is None:
            raise StoreUnavailable("a rebuild that was under way is gone")
        if run["under"] != policy_hash:
            raise CommandError(
                f"a rebuild was begun at {run['begun_at']:%Y-%m-%d %H:%M} UTC under other policies ({run['under']}, "
                f"now {policy_hash}); end it under those, or give it up with --afresh"
            )
        self._run_id = run["run"]
        with translate_errors():
            await self._tasks.delete_many({"run": {"$ne": self._run_id}})
        await insert_new(self._tasks, [*_task_documents(run)])

    async def abandon(self) -> None:
        """Forget the rebuild that was begun and not ended. Raises NotPossible while somebody is at it."""
        with translate_errors():
            claimed = await self._tasks.find_one({"$expr": {"$gt": ["$until", "$$NOW"]}})
            if claimed is not None:
                raise CommandError(f"somebody is at work on {claimed['_id']}; wait until they have ended, or end them")
            await self._runs.update_one({"_id": RUN_ID}, {"$currentDate": {"finished_at": True}})

    async def count_by_phase(self) -> Counter[Phase]:
        """How many messages wait at each stage; those that are done count too."""
        with translate_errors():
            tasks = await self._tasks.find({"run": self._run_id}, {"stage": 1, "messages": 1}).to_list(None)
        counts: Counter[Phase] = Counter()
        for task in tasks:
            counts[task["stage"]] += task["messages"]
        return counts

    async def claim(self, phase: Phase) -> RebuildTask | None:
        """Take a share that is at `stage` and that nobody holds; none where all are held."""
        claimable = {"run": self._run_id, "stage": phase, "$expr": {"$lt": ["$until", "$$NOW"]}}
        with translate_errors():
            task = await self._tasks.find_one_and_update(
                claimable, [{"$set": {"owner": self._owner, "until": _LEASE_END}}], sort=[("_id", 1)]
            )
        if task is None:
            return None
        return RebuildTask(
            task["_id"], PartitionSlice(task["partition"], task["slice"], task["slices"]), task["messages"]
        )

    @asynccontextmanager
    async def hold_lease(self, task: RebuildTask) -> AsyncIterator[None]:
        """Nobody else takes the share meanwhile, as long as the database hears of us."""
        async with run_in_background(self._renew_lease(task)):
            yield

    async def complete_phase(self, task: RebuildTask, phase: Phase, counts: Counts) -> None:
        """The share has come through `stage`; it counts once, also when two did it at once."""
        change: Document = {"$set": {"stage": NEXT_PHASE[phase], "until": EXPIRED_LEASE}}
        if counts:
            change["$inc"] = {f"counts.{name}": count for name, count in counts.items()}
        with translate_errors():
            await self._tasks.update_one({"_id": task.id, "stage": phase, "owner": self._owner}, change)

    async def finish(self) -> Counts:
        """Every share is done; what was found in all of them."""
        with translate_errors():
            await self._runs.update_one(
                {"_id": RUN_ID, "run": self._run_id, "finished_at": {"$exists": False}},
                {"$currentDate": {"finished_at": True}},
            )
            tasks = await self._tasks.find({"run": self._run_id}).to_list(None)
        return sum((Counter(task.get("counts", {})) for task in tasks), Counter())

    async def _renew_lease(self, task: RebuildTask) -> None:
        while True:
            await asyncio.sleep(LEASE_RENEWAL_INTERVAL_SECONDS)
            with suppress(StoreUnavailable), translate_errors():  # who works on the share will hear of it
                await self._tasks.update_one({"_id": task.id, "owner": self._owner}, [{"$set": {"until": _LEASE_END}}])


async def rebuild(view: View, job: RebuildJob, report_progress: ReportProgress) -> Counts:
    """Do what is left of a rebuild that was joined, together with whoever else does; what was found in all of it."""
    handlers: dict[Phase, Callable[[RebuildTask, Advance], Awaitable[Counts]]] = {"read": view.stage, "swap": view.swap}
    for phase, handle in handlers.items():
        phase_progress = _PhaseProgress(phase, report_progress)
        while phase_progress.has_work_left(await job.count_by_phase()):
            task = await job.claim(phase)
            if task is None:
                await asyncio.sleep(CLAIM_INTERVAL_SECONDS)
                continue
            async with job.hold_lease(task):
                counts = await handle(task, phase_progress.advance)
            await job.complete_phase(task, phase, counts)
    return await job.finish()


class _PhaseProgress:
    """Says how far a stage is, as soon as that changed."""

    def __init__(self, phase: Phase, report_progress: ReportProgress) -> None:
        self._phase = phase
        self._report_progress = report_progress
        self._done_messages = -1
        self._total_messages = 0

    def has_work_left(self, counts: Counter[Phase]) -> bool:
        """Whether anything is left to do at this stage, by anybody."""
        done_messages = counts["done"] + (counts["swap"] if self._phase == "read" else 0)
        self._total_messages = counts.total()
        self._report(done_messages)
        return self._phase in counts

    def advance(self, messages: int) -> None:
        """So many more; those that others have done meanwhile are not among them."""
        self._report(min(self._done_messages + messages, self._total_messages - 1))

    def _report(self, done_messages: int) -> None:
        if done_messages != self._done_messages:
            self._done_messages = done_messages
            self._report_progress(self._phase, done_messages, self._total_messages)


def slice_partitions(message_counts: Sequence[int]) -> list[tuple[PartitionSlice, int]]:
    """The partition numbers in slices that can be held in memory, with about how many messages are in each."""
    slice_counts = [max(1, ceil(message_count / MAX_TASK_MESSAGES)) for message_count in message_counts]
    return [
        (PartitionSlice(partition, index, slice_count), message_counts[partition] // slice_count)
        for partition, slice_count in enumerate(slice_counts)
        for index in range(slice_count)
    ]


def _task_documents(run: Document) -> list[Document]:
    return [
        {
            "_id": f"{run['run']}/{partition:04}/{index:04}",
            "run": run["run"],
            "partition": partition,
            "slice": index,
            "slices": slice_count,
            "messages": message_count,
            "stage": "read",
            "until": EXPIRED_LEASE,
        }
        for partition, index, slice_count, message_count in run["shares"]
    ]
