"""The use cases about a clinic's whole caseload: its list, and its import from a file."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog

from services.intake.domain import caseload_csv, import_plan
from services.intake.domain.caseload_csv import RowError
from services.intake.domain.relationship import Relationship
from services.intake.metrics import IntakeMetrics
from services.intake.service.required import require
from services.intake.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.errors import Rejected
from shared.outbox.documents import VersionConflict

log = structlog.get_logger()


class CaseloadRejected(Rejected):
    """A caseload file has errors. Nothing of it was written."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        super().__init__("caseload-not-valid", f"the file has {len(errors)} errors")
        self.errors = sorted(errors, key=lambda error: error.row)


@dataclass(frozen=True)
class ImportResult:
    """The result of an import. After a dry run, what the import would give."""

    row_count: int
    started_count: int
    already_known_count: int


@dataclass(frozen=True)
class CaseloadService:
    """Lists and imports caseloads. Each use case is idempotent and raises NotFound and StoreUnavailable.

    A request is confined to its clinic: another one is not found. None means every clinic.
    """

    store: Store
    metrics: IntakeMetrics
    clock: Callable[[], datetime]
    """The time, in whole milliseconds."""

    async def list_relationships(
        self, clinic: ClinicId | None, clinic_id: UUID, after: UUID | None, limit: int
    ) -> list[Relationship]:
        """Up to `limit` of a clinic's relationships whose ids are greater than `after`, ordered by id."""
        await require("clinic", self.store.clinics.within(clinic), clinic_id)
        return await self.store.list_relationships(ClinicId(clinic_id), after, limit)

    async def import_caseload(
        self, clinic: ClinicId | None, clinic_id: UUID, content: bytes, *, dry_run: bool
    ) -> ImportResult:
        """Start every relationship of a file that is not known yet, or none of them. Raises CaseloadRejected."""
        record = await require("clinic", self.store.clinics.within(clinic), clinic_id)
        own_clinic = ClinicId(clinic_id)
        rows, errors = await asyncio.to_thread(caseload_csv.parse_caseload, content, ZoneInfo(record.time_zone))
        while True:
            existing = await self.store.load_existing(own_clinic, rows)
            plan = await asyncio.to_thread(import_plan.plan_import, clinic_id, rows, existing, self.clock())
            if errors or plan.errors:
                self.metrics.count_import("rejected")
                raise CaseloadRejected([*errors, *plan.errors])
            if not dry_run:
                try:
                    await self.store.insert_plan(own_clinic, plan)
                except VersionConflict:
                    continue  # another request added part of it: plan again
                self.metrics.count_events(plan.events)
            break
        self.metrics.count_import("dry_run" if dry_run else "imported")
        started_count = len(plan.relationships)
        log.info(
            "Caseload import finished",
            clinic_id=str(clinic_id),
            rows=len(rows),
            started=started_count,
            dry_run=dry_run,
        )
        return ImportResult(
            row_count=len(rows), started_count=started_count, already_known_count=len(rows) - started_count
        )
