"""The audit of one service: what requests write, and what moves it into the chains."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from shared.access.clinic_id import ClinicId
from shared.audit.chain import AuditEntry
from shared.audit.heads import REPORT_INTERVAL_SECONDS, HeadReporter
from shared.audit.line import AuditLine
from shared.audit.metrics import AuditMetrics
from shared.audit.mover import LineMover
from shared.audit.pending import ChangedDocuments
from shared.audit.settings import AuditSettings
from shared.audit.spool import Spool
from shared.audit.store.mongo import MongoAuditStore
from shared.audit.store.protocol import Position, Search
from shared.audit.writer import ChainWriter
from shared.mongo.client import Mongo
from shared.runtime.background import repeat_every, retry_until_done, run_in_background

MOVE_INTERVAL_SECONDS = 0.25
"""A line is in its chain within a second; most of that time belongs to the database."""
SYNC_INTERVAL_SECONDS = 0.5
"""What a loss of power may take from the lines of reads."""
COUNT_INTERVAL_SECONDS = 5.0
MAX_LIST_LIMIT = 1_000


class Audit:
    """Takes the lines of reads, and moves these and the lines of changed documents into the chains."""

    def __init__(
        self,
        settings: AuditSettings,
        mongo: Mongo,
        collections: Sequence[str],
        registry: CollectorRegistry,
        clock: Callable[[], datetime],
    ) -> None:
        """`collections` are those whose documents hold the lines of their changes."""
        metrics = AuditMetrics(registry)
        self._store = MongoAuditStore(mongo)
        self._changed_documents = ChangedDocuments([mongo[name] for name in collections])
        self._spool = Spool(settings.audit_spool_dir, settings.audit_spool_limit_mb * 1_000_000)
        writer = ChainWriter(self._store, settings.audit_keys.current, uuid4())
        self._mover = LineMover(writer, self._changed_documents, self._spool, metrics, clock)
        self._heads = HeadReporter(self._store, metrics)

    def record(self, line: AuditLine) -> None:
        """Write the line of a read, before it is answered. Raises SpoolUnavailable: then it must not be answered."""
        self._spool.write(line)

    async def list_lines(
        self,
        clinic: ClinicId,
        *,
        about: UUID | None = None,
        by: UUID | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        after: Position | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """The next lines of the clinic's chain that match, the earliest first. Raises StoreUnavailable."""
        search = Search(about, by, since, until)
        return await self._store.list_entries(clinic, search, after, min(limit, MAX_LIST_LIMIT))

    @asynccontextmanager
    async def run(self) -> AsyncIterator[None]:
        """Move lines into the chains, and report the heads, while the context is open."""
        async with run_in_background(
            retry_until_done("create audit indexes", self._create_indexes),
            repeat_every(MOVE_INTERVAL_SECONDS, "chain audit lines of changes", self._mover.move_changes),
            repeat_every(MOVE_INTERVAL_SECONDS, "chain audit lines of reads", self._mover.move_reads),
            repeat_every(SYNC_INTERVAL_SECONDS, "sync the audit's spool", self._spool.sync),
            repeat_every(COUNT_INTERVAL_SECONDS, "count waiting audit lines", self._mover.count_waiting),
            repeat_every(REPORT_INTERVAL_SECONDS, "report audit heads", self._heads.report),
        ):
            yield
        await self._spool.sync()
        self._spool.close()

    async def _create_indexes(self) -> None:
        await self._store.create_indexes()
        await self._changed_documents.create_indexes()
