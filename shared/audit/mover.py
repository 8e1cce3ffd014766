"""Moves lines from changed documents and from the spool into their chains.

A line is removed from where it waits only when it is in its chain. A crash in between has it appended again, which the
store refuses.
"""

from collections.abc import Callable
from datetime import datetime

from shared.audit.metrics import AuditMetrics
from shared.audit.pending import ChangedDocuments
from shared.audit.spool import Spool
from shared.audit.writer import ChainWriter


class LineMover:
    """Moves all lines that wait, a batch at a time."""

    def __init__(
        self,
        writer: ChainWriter,
        changed_documents: ChangedDocuments,
        spool: Spool,
        metrics: AuditMetrics,
        clock: Callable[[], datetime],
    ) -> None:
        self._writer = writer
        self._changed_documents = changed_documents
        self._spool = spool
        self._metrics = metrics
        self._clock = clock

    async def move_changes(self) -> None:
        """Chain the lines of changed documents, until none is left or another writer has a chain.

        Raises StoreUnavailable.
        """
        is_moving = True
        while is_moving:
            is_moving = False
            for pending in await self._changed_documents.load():
                chained = await self._writer.append(pending.lines)
                if moved := pending.only(chained):
                    await self._changed_documents.remove(moved)
                    self._metrics.count_chained("change", moved.lines, self._clock())
                    is_moving = True

    async def move_reads(self) -> None:
        """Chain the lines of the spool, until none is left or another writer has a chain.

        Raises StoreUnavailable and OSError.
        """
        while (spooled := self._spool.load()) is not None:
            chained = await self._writer.append(spooled.lines)
            if any(line.id not in chained for line in spooled.lines):
                return
            self._spool.remove(spooled)
            self._metrics.count_chained("read", spooled.lines, self._clock())

    async def count_waiting(self) -> None:
        """Measure what waits. Raises StoreUnavailable."""
        now, oldest = self._clock(), await self._changed_documents.find_oldest()
        oldest_at = min(time for time in (now, oldest, self._spool.oldest_at) if time is not None)
        self._metrics.set_waiting(now - oldest_at, self._spool.size_bytes)
