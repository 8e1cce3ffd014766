"""Rebuilding a view, task by task: first every task is staged, then every task is swapped in.

Staging compares what the topics say with what is stored, and keeps what differs in the staging collection. Swapping
writes it over the stored documents. What differs in nothing is neither written nor published. Before anything is
swapped in, a rebuild stops if people would lose something by it, until an operator accepts that.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import islice
from uuid import UUID

from shared.rebuild.history import EventReader, History, SliceReader, count_events, paginate
from shared.rebuild.job import Phase, RebuildJob, RebuildTask
from shared.rebuild.staging import StagingCollection
from shared.rebuild.view import MISSING, Counts, View
from shared.runtime.terminal import CommandError

CLAIM_INTERVAL_SECONDS = 0.5
"""Between two attempts to claim a task, while other processes have all that are left."""
CONCURRENT_PAGES = 2
"""While the database answers for one page, the other one is folded."""
SWAP_BATCH_SIZE = 500
RESTORED, CORRECTED = "relationships restored", "relationships corrected"

ReportProgress = Callable[[Phase, int, int], None]
"""Called with the phase, and how many messages have passed it, of how many."""
Advance = Callable[[int], None]
"""Called with the number of further messages that passed the phase."""
Report = Callable[[str], None]


class Rebuilder:
    """Does the tasks of a rebuild; reports each stored document that was wrong. What was missing is only counted."""

    def __init__(
        self,
        view: View,
        reader: EventReader,
        staging: StagingCollection,
        report: Report,
        accept_losses: bool = False,
    ) -> None:
        self._view = view
        self._reader = reader
        self._staging = staging
        self._report = report
        self._accept_losses = accept_losses

    async def run(self, job: RebuildJob, report_progress: ReportProgress) -> Counts:
        """Do what is left of a rebuild that was joined, together with other processes; return what all of them found.

        Raises StoreUnavailable and BrokerUnavailable, and CommandError if people would lose something; then the rebuild
        can be joined again.
        """
        phases: dict[Phase, Callable[[RebuildTask, Advance], Awaitable[Counts]]] = {
            "read": self._stage,
            "swap": self._swap,
        }
        for phase, do_task in phases.items():
            if phase == "swap" and not self._accept_losses:
                await self._stop_if_anything_is_lost()
            progress = _PhaseProgress(phase, report_progress)
            while progress.has_work_left(await job.count_by_phase()):
                task = await job.claim(phase)
                if task is None:
                    await asyncio.sleep(CLAIM_INTERVAL_SECONDS)
                    continue
                async with job.hold_lease(task):
                    counts = await do_task(task, progress.advance)
                await job.complete_phase(task, phase, counts)
        return await job.finish()

    async def _stop_if_anything_is_lost(self) -> None:
        losses = await self._staging.list_losses()
        for id, loss in losses:
            self._report(f"{id}: {loss}")
        if losses:
            raise CommandError(
                f"{len(losses)} open alerts would be taken from their clinicians, so nothing was swapped in; read "
                "docs/rebuild.md, then go on with --accept-losses, or look again with --restart"
            )

    async def _stage(self, task: RebuildTask, advance: Advance) -> Counts:
        slice_reader = SliceReader(self._reader, task.partition_slice)
        await slice_reader.read()
        counts: Counts = Counter()
        pages = paginate(slice_reader.histories, self._view.page_size)
        while batch := list(islice(pages, CONCURRENT_PAGES)):
            for page_counts in await asyncio.gather(*(self._stage_page(task, slice_reader, page) for page in batch)):
                counts += page_counts
            advance(sum(map(count_events, batch)))
        return counts

    async def _stage_page(self, task: RebuildTask, slice_reader: SliceReader, page: Mapping[UUID, History]) -> Counts:
        documents, counts = await self._view.stage(slice_reader, page)
        await self._staging.save(task.id, documents)
        return counts

    async def _swap(self, task: RebuildTask, _advance: Advance) -> Counts:
        counts: Counts = Counter()
        while documents := await self._staging.load(task.id, SWAP_BATCH_SIZE):
            await self._view.swap(task.partition_slice, documents)
            await self._staging.delete(document.id for document in documents)
            for document in documents:
                is_missing = document.difference.names == (MISSING,)
                counts[RESTORED if is_missing else CORRECTED] += 1
                if not is_missing:
                    self._report(str(document.difference))
        return counts


class _PhaseProgress:
    """Reports how far a phase is, whenever that changed."""

    def __init__(self, phase: Phase, report_progress: ReportProgress) -> None:
        self._phase = phase
        self._report_progress = report_progress
        self._done_messages = -1
        self._total_messages = 0

    def has_work_left(self, counts: Counter[Phase]) -> bool:
        """Whether any process has anything left to do in this phase."""
        done_messages = counts["done"] + (counts["swap"] if self._phase == "read" else 0)
        self._total_messages = counts.total()
        self._report(done_messages)
        return self._phase in counts

    def advance(self, messages: int) -> None:
        """This process has done so many more; what others do meanwhile is not included."""
        self._report(min(self._done_messages + messages, self._total_messages - 1))

    def _report(self, done_messages: int) -> None:
        if done_messages != self._done_messages:
            self._done_messages = done_messages
            self._report_progress(self._phase, done_messages, self._total_messages)
