"""How any number of processes share one rebuild, and continue where another one was killed.

The topics are cut into slices, each small enough for memory. A task is the work on one slice. It passes two phases:
first every task is staged (the phase `read`); when all are, each is swapped in (the phase `swap`). A process works on a
task under a lease. When the lease expires, another process does the task again, which is always safe. Two processes on
one task do no harm, they only lose time.

Two collections hold this: `rebuild` has one document, about the run that was started last; `rebuild_shares` has its
tasks. Stored names never change: a newer version can continue a rebuild that an older one started.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal
from uuid import UUID, uuid4

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from shared.errors import StoreUnavailable
from shared.kafka.event_reader import PartitionSlice
from shared.mongo.client import Document, Mongo, insert_new, translate_errors
from shared.rebuild.history import slice_partitions
from shared.rebuild.view import Counts
from shared.runtime.background import run_in_background
from shared.runtime.terminal import CommandError

Phase = Literal["read", "swap", "done"]
"""What a task waits for: to be staged, to be swapped in, or nothing more."""
NEXT_PHASE: dict[Phase, Phase] = {"read": "swap", "swap": "done"}

LEASE_SECONDS = 20.0
"""How long a task stays with a process that was killed, by the clock of the database."""
LEASE_RENEWALS = 4
"""How often a lease would be renewed before it expires."""
EXPIRED_LEASE = datetime(1970, 1, 1, tzinfo=UTC)
"""The end of the lease on a task that no process has claimed."""

_RUN_DOCUMENT_ID = "rebuild"
_POLICY, _SLICES, _PHASE, _LEASE_END = "under", "shares", "stage", "until"
"""The stored names of fields that the code calls otherwise."""
_IS_LEASED, _IS_NOT_LEASED = {"$gt": [f"${_LEASE_END}", "$$NOW"]}, {"$lt": [f"${_LEASE_END}", "$$NOW"]}


@dataclass(frozen=True, slots=True)
class RebuildTask:
    """The work on one slice of the topics, claimed by this process."""

    id: str
    partition_slice: PartitionSlice
    messages: int


class RebuildJob:
    """The tasks of one rebuild, in MongoDB. Every method raises StoreUnavailable."""

    def __init__(self, mongo: Mongo, lease_seconds: float = LEASE_SECONDS) -> None:
        self._runs = mongo["rebuild"]
        self._tasks = mongo["rebuild_shares"]
        self._owner = uuid4()
        self._end_of_new_lease = {"$add": ["$$NOW", 1000 * lease_seconds]}
        self._renewal_interval_seconds = lease_seconds / LEASE_RENEWALS
        self._run_id: UUID | None = None

    async def join(self, policy: str, message_counts: Sequence[int]) -> None:
        """Join the unfinished rebuild; if there is none, start one with `policy`.

        `message_counts` has the number of messages on each partition number. Raises CommandError.
        """
        run = await self._find_or_start_run(policy, message_counts)
        if run[_POLICY] != policy:
            raise CommandError(
                f"a rebuild was started at {run['begun_at']:%Y-%m-%d %H:%M} UTC with other policies ({run[_POLICY]}, "
                f"now {policy}); finish it with those, or abandon it with --restart"
            )
        self._run_id = run["run"]
        await self._create_tasks(run)

    async def abandon(self) -> None:
        """Abandon the unfinished rebuild. Raises CommandError while another process works on it."""
        with translate_errors():
            claimed = await self._tasks.find_one({"$expr": _IS_LEASED})
            if claimed is not None:
                raise CommandError(
                    f"another process holds the lease on {claimed['_id']}; wait until it finishes, or stop it"
                )
            await self._runs.update_one({"_id": _RUN_DOCUMENT_ID}, {"$currentDate": {"finished_at": True}})

    async def count_by_phase(self) -> Counter[Phase]:
        """The number of messages that wait in each phase, or are done."""
        with translate_errors():
            tasks = await self._tasks.find({"run": self._run_id}, {_PHASE: 1, "messages": 1}).to_list(None)
        counts: Counter[Phase] = Counter()
        for task in tasks:
            counts[task[_PHASE]] += task["messages"]
        return counts

    async def claim(self, phase: Phase) -> RebuildTask | None:
        """Claim a task that is in `phase` and that no process works on; None if there is none."""
        claimable = {"run": self._run_id, _PHASE: phase, "$expr": _IS_NOT_LEASED}
        with translate_errors():
            task = await self._tasks.find_one_and_update(
                claimable, [{"$set": {"owner": self._owner, _LEASE_END: self._end_of_new_lease}}], sort=[("_id", 1)]
            )
        if task is None:
            return None
        return RebuildTask(
            task["_id"], PartitionSlice(task["partition"], task["slice"], task["slices"]), task["messages"]
        )

    @asynccontextmanager
    async def hold_lease(self, task: RebuildTask) -> AsyncIterator[None]:
        """Renew the lease on the task while the context is open, as long as the database is available."""
        async with run_in_background(self._renew_lease(task)):
            yield

    async def complete_phase(self, task: RebuildTask, phase: Phase, counts: Counts) -> None:
        """Move the task to the next phase. Its counts are added once, even if two processes did the task."""
        change: Document = {"$set": {_PHASE: NEXT_PHASE[phase], _LEASE_END: EXPIRED_LEASE}}
        if counts:
            change["$inc"] = {f"counts.{name}": count for name, count in counts.items()}
        with translate_errors():
            await self._tasks.update_one({"_id": task.id, _PHASE: phase, "owner": self._owner}, change)

    async def finish(self) -> Counts:
        """Finish the rebuild, whose tasks are all done; return the counts of all of them."""
        with translate_errors():
            await self._runs.update_one(
                {"_id": _RUN_DOCUMENT_ID, "run": self._run_id, "finished_at": {"$exists": False}},
                {"$currentDate": {"finished_at": True}},
            )
            tasks = await self._tasks.find({"run": self._run_id}).to_list(None)
        return sum((Counter(task.get("counts", {})) for task in tasks), Counter())

    async def _find_or_start_run(self, policy: str, message_counts: Sequence[int]) -> Document:
        fields = {
            "run": uuid4(),
            _POLICY: policy,
            _SLICES: [
                [partition_slice.partition, partition_slice.index, partition_slice.count, message_count]
                for partition_slice, message_count in slice_partitions(message_counts)
            ],
        }
        finished_run = {"_id": _RUN_DOCUMENT_ID, "finished_at": {"$exists": True}}
        with translate_errors():
            try:
                # Replaces a finished run, and inserts the first one. An unfinished run does not match the query, so
                # the insert meets its `_id` and fails.
                run: Document | None = await self._runs.find_one_and_update(
                    finished_run,
                    {"$set": fields, "$currentDate": {"begun_at": True}, "$unset": {"finished_at": ""}},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                )
            except DuplicateKeyError:
                run = await self._runs.find_one({"_id": _RUN_DOCUMENT_ID})
        if run is None:
            raise StoreUnavailable("the running rebuild was removed concurrently")
        return run

    async def _create_tasks(self, run: Document) -> None:
        """Create the tasks of `run` that do not exist yet, and delete those of earlier runs."""
        with translate_errors():
            await self._tasks.delete_many({"run": {"$ne": run["run"]}})
        await insert_new(self._tasks, _task_documents(run))

    async def _renew_lease(self, task: RebuildTask) -> None:
        while True:
            await asyncio.sleep(self._renewal_interval_seconds)
            with suppress(StoreUnavailable), translate_errors():  # the work on the task fails with the same error
                await self._tasks.update_one(
                    {"_id": task.id, "owner": self._owner}, [{"$set": {_LEASE_END: self._end_of_new_lease}}]
                )


def _task_documents(run: Document) -> list[Document]:
    return [
        {
            "_id": f"{run['run']}/{partition:04}/{index:04}",
            "run": run["run"],
            "partition": partition,
            "slice": index,
            "slices": slice_count,
            "messages": message_count,
            _PHASE: "read",
            _LEASE_END: EXPIRED_LEASE,
        }
        for partition, index, slice_count, message_count in run[_SLICES]
    ]
