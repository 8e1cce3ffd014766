"""Comparing a view with the topics while its service runs. Nothing is written.

The first look finds suspects: the service may simply not have consumed their latest events yet. Each suspect is
compared again when the service has committed everything that was on the topics, until no event arrives for it
meanwhile. What it has dead-lettered by then is no longer expected of it. So a difference that is reported is one.
Whatever the service has not caught up with in time is counted as not compared.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from uuid import UUID

from shared.kafka.group_offsets import Offsets
from shared.rebuild.history import EventReader, History, SliceReader, paginate, slice_partitions
from shared.rebuild.view import NOT_ON_TOPICS, Difference, View

CATCH_UP_TIMEOUT_SECONDS = 30
"""How long the service may take to catch up with one slice."""
PAGE_SIZE = 5_000

ReportProgress = Callable[[int, int], None]
"""Called with how many messages are compared, of how many."""
Report = Callable[[str], None]
WaitUntilCaughtUp = Callable[[int, Offsets, float], Awaitable[bool]]
"""Waits until the service has committed these offsets of a partition number; False after so many seconds."""


@dataclass(slots=True)
class VerifyResult:
    """What came of a comparison, in documents."""

    on_topics: set[UUID] = field(default_factory=set)
    not_caught_up: set[UUID] = field(default_factory=set)
    """Documents that seem to differ, but may not: the service has not consumed all events of their slice yet."""
    different: int = 0

    @property
    def compared(self) -> int:
        return len(self.on_topics) - len(self.not_caught_up)

    def list_remarks(self) -> list[str]:
        """What was not compared."""
        if not self.not_caught_up:
            return []
        return [f"{len(self.not_caught_up)} not compared: the service has not caught up with their events"]


class Verifier:
    """Compares a view with the topics, and reports each difference."""

    def __init__(
        self,
        view: View,
        reader: EventReader,
        wait_until_caught_up: WaitUntilCaughtUp,
        report: Report,
        catch_up_timeout_seconds: float = CATCH_UP_TIMEOUT_SECONDS,
    ) -> None:
        self._view = view
        self._reader = reader
        self._wait_until_caught_up = wait_until_caught_up
        self._report = report
        self._catch_up_timeout_seconds = catch_up_timeout_seconds
        self._result = VerifyResult()

    async def run(self, report_progress: ReportProgress) -> VerifyResult:
        """Compare everything. Raises StoreUnavailable and BrokerUnavailable."""
        message_counts = await self._reader.message_counts()
        total, done = sum(message_counts), 0
        report_progress(done, total)
        slice_readers = []
        for partition_slice, message_count in slice_partitions(message_counts):
            slice_reader = SliceReader(self._reader, partition_slice)
            await self._compare_slice(slice_reader)
            slice_readers.append(slice_reader)
            done += message_count
            if done < total:
                report_progress(done, total)
        await self._find_unexpected(slice_readers)
        report_progress(total, total)
        return self._result

    async def _compare_slice(self, slice_reader: SliceReader) -> None:
        await slice_reader.read()
        histories = slice_reader.histories
        self._result.on_topics |= histories.keys()
        suspects = {difference.id for difference in await self._find_differences(histories)}
        slice_reader.histories = histories = {key: histories[key] for key in suspects}
        deadline = time.monotonic() + self._catch_up_timeout_seconds
        while histories:
            partition, seconds_left = slice_reader.partition_slice.partition, deadline - time.monotonic()
            if not await self._wait_until_caught_up(partition, slice_reader.offsets, seconds_left):
                self._result.not_caught_up |= histories.keys()
                break
            self._result.on_topics -= await slice_reader.drop_dead_letters()
            histories = slice_reader.histories
            # The documents first, then the topics: what a document contains has been read by then.
            differences = await self._find_differences(histories)
            newer = await slice_reader.read_newer()
            self._report_differences(difference for difference in differences if difference.id not in newer)
            slice_reader.histories = histories = {key: histories[key] for key in histories.keys() & newer.keys()}
        slice_reader.histories = {}

    async def _find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        pages = paginate(histories, self._view.page_size)
        return [difference for page in pages for difference in await self._view.find_differences(page)]

    async def _find_unexpected(self, slice_readers: Sequence[SliceReader]) -> None:
        """Stored documents that the topics do not have, not even by now."""
        unexpected: set[UUID] = set()
        after: UUID | None = None
        while page := await self._view.list_ids(after, PAGE_SIZE):
            after = page[-1]
            unexpected |= set(page) - self._result.on_topics
        if unexpected:
            for slice_reader in slice_readers:
                unexpected -= (await slice_reader.read_newer()).keys()
        self._report_differences(Difference(id, (NOT_ON_TOPICS,)) for id in unexpected)

    def _report_differences(self, differences: Iterable[Difference]) -> None:
        for difference in sorted(differences, key=attrgetter("id")):
            self._result.different += 1
            self._report(str(difference))
