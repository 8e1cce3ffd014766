"""The use cases of intake: people, relationships and caseload imports."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from pydantic import BaseModel

from services.intake.domain import caseload_csv, end_corrections, import_plan, people, relationships
from services.intake.domain.case_codes import choose_case_codes
from services.intake.domain.caseload_csv import RowError
from services.intake.domain.people import CaseCodeAssignment, Client, Clinic, Clinician
from services.intake.domain.relationship import (
    AimsAgreement,
    Consent,
    End,
    EndCorrection,
    NonTransferEndReason,
    Relationship,
    Start,
)
from services.intake.metrics import IntakeMetrics
from services.intake.store.protocol import Store
from shared.errors import NotFound, Rejected
from shared.events import Aim, CaseCode, TimeZone, UtcDatetime
from shared.outbox.documents import Decide, DocumentCollection, VersionConflict

log = structlog.get_logger()

DocumentT = TypeVar("DocumentT", bound=BaseModel)


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
class IntakeService:
    """The use cases of intake. Each is idempotent and raises NotFound and StoreUnavailable."""

    store: Store
    metrics: IntakeMetrics
    clock: Callable[[], datetime]
    """The time, in whole milliseconds."""

    async def get_relationship(self, relationship_id: UUID) -> Relationship:
        return _require_relationship(relationship_id, await self.store.relationships.get(relationship_id))

    async def list_relationships(self, clinic_id: UUID, after: UUID | None, limit: int) -> list[Relationship]:
        """Up to `limit` of a clinic's relationships whose ids are greater than `after`, ordered by id."""
        await self._require("clinic", self.store.clinics, clinic_id)
        return await self.store.list_relationships(clinic_id, after, limit)

    async def save_clinic(self, clinic: Clinic) -> Clinic:
        """Add a clinic, or replace its name, time zone and crisis contact."""
        now = self.clock()
        change = await self.store.clinics.change(
            clinic.clinic_id, lambda before: people.save_clinic(before, clinic, now)
        )
        self.metrics.count_events(change.events)
        return change.after

    async def publish_unpublished_clinics(self) -> None:
        """Publish the clinics that an older version stored without an event."""
        now = self.clock()
        for clinic in await self.store.list_unpublished_clinics():
            # As it is stored by now: a request may have changed it meanwhile.
            change = await self.store.clinics.change(
                clinic.clinic_id,
                lambda before, listed=clinic: people.save_clinic(before, before or listed, now),  # type: ignore[misc]
            )
            self.metrics.count_events(change.events)

    async def register_clinician(
        self, clinician_id: UUID, clinic_id: UUID, contact: str, time_zone: TimeZone
    ) -> Clinician:
        """Register a clinician of a clinic, or update one."""
        await self._require("clinic", self.store.clinics, clinic_id)
        requested = Clinician(
            clinician_id=clinician_id,
            clinic_id=clinic_id,
            contact=contact,
            time_zone=time_zone,
            last_event_at=self.clock(),
        )
        change = await self.store.clinicians.change(
            clinician_id, lambda before: people.register_clinician(before, requested)
        )
        self.metrics.count_events(change.events)
        return change.after

    async def add_client(self, client_id: UUID, clinic_id: UUID, case_code: CaseCode | None) -> Client:
        """Add a client to a clinic, without `case_code` under one that is chosen here. Raises Rejected."""
        await self._require("clinic", self.store.clinics, clinic_id)
        if case_code is not None:
            return await self._add_client(client_id, clinic_id, case_code)
        existing = await self.store.clients.get(client_id)
        for choice in [existing.case_code] if existing else choose_case_codes(client_id):
            try:
                return await self._add_client(client_id, clinic_id, choice)
            except Rejected as error:
                if existing or error.code != "case-code-taken":
                    raise
        raise AssertionError("there is always another choice")

    async def _add_client(self, client_id: UUID, clinic_id: UUID, case_code: CaseCode) -> Client:
        requested = Client(client_id=client_id, clinic_id=clinic_id, case_code=case_code)
        case_code_assignment = CaseCodeAssignment(client_id=client_id, clinic_id=clinic_id, case_code=case_code)
        change = await self.store.add_client(
            client_id,
            lambda before: people.add_client(before, requested),
            CaseCodeAssignment.document_id(clinic_id, case_code),
            lambda before: people.assign_case_code(before, case_code_assignment),
        )
        return change.after

    async def start_relationship(
        self,
        relationship_id: UUID,
        *,
        clinic_id: UUID,
        clinician_id: UUID,
        client_id: UUID,
        started_at: UtcDatetime,
        aims: tuple[Aim, ...],
        cadence_days: int,
        consent: bool,
    ) -> Relationship:
        """Start a relationship. Raises Rejected."""
        _, clinician, client = await asyncio.gather(
            self._require("clinic", self.store.clinics, clinic_id),
            self._require("clinician", self.store.clinicians, clinician_id),
            self._require("client", self.store.clients, client_id),
        )
        start = Start(
            clinic_id=clinic_id,
            clinician_id=clinician_id,
            client_id=client_id,
            case_code=client.case_code,
            started_at=started_at,
            aims=aims,
            cadence_days=cadence_days,
            consent=consent,
        )
        now = self.clock()
        change = await self.store.start_relationship(
            relationship_id,
            client_id,
            lambda before, open_relationships: relationships.start_relationship(
                before, relationship_id, start, clinician, client, now, open_relationships
            ),
        )
        self.metrics.count_events(change.events)
        return change.after

    async def update_aims(self, relationship_id: UUID, agreement: AimsAgreement) -> Relationship:
        """Record that client and clinician agreed on new aims. Raises Rejected."""
        now = self.clock()
        return await self._change_relationship(
            relationship_id,
            lambda before: relationships.update_aims(_require_relationship(relationship_id, before), agreement, now),
        )

    async def change_consent(self, relationship_id: UUID, consent_change: Consent) -> Relationship:
        """Record that the client gives or withdraws consent to be asked about the sessions. Raises Rejected."""
        now = self.clock()
        return await self._change_relationship(
            relationship_id,
            lambda before: relationships.change_consent(
                _require_relationship(relationship_id, before), consent_change, now
            ),
        )

    async def end_relationship(
        self, relationship_id: UUID, reason: NonTransferEndReason, at: UtcDatetime
    ) -> Relationship:
        """Record the end of a relationship. Raises Rejected."""
        now, ending = self.clock(), End(reason=reason, at=at)
        return await self._change_relationship(
            relationship_id,
            lambda before: relationships.end_relationship(_require_relationship(relationship_id, before), ending, now),
        )

    async def correct_end(self, relationship_id: UUID, correction: EndCorrection) -> Relationship:
        """Replace an end that was recorded by mistake, or take it back. Raises Rejected."""
        now = self.clock()
        client_id = (await self.get_relationship(relationship_id)).start.client_id
        change = await self.store.change_with_open_relationships(
            relationship_id,
            client_id,
            lambda before, others: end_corrections.correct_end(
                _require_relationship(relationship_id, before), correction, now, others
            ),
        )
        self.metrics.count_events(change.events)
        return change.after

    async def transfer_relationship(
        self, relationship_id: UUID, successor_id: UUID, clinician_id: UUID, at: UtcDatetime
    ) -> tuple[Relationship, Relationship]:
        """End a relationship and start the client's next one, or do neither. Raises Rejected."""
        successor_clinician = await self._require("clinician", self.store.clinicians, clinician_id)
        now = self.clock()
        old, new = await self.store.transfer_relationship(
            relationship_id,
            lambda before: relationships.end_for_transfer(
                _require_relationship(relationship_id, before), successor_id, successor_clinician, at, now
            ),
            successor_id,
            lambda before, ended, others: relationships.start_successor(before, ended, successor_clinician, others),
        )
        self.metrics.count_events([*old.events, *new.events])
        return old.after, new.after

    async def import_caseload(self, clinic_id: UUID, content: bytes, *, dry_run: bool) -> ImportResult:
        """Start every relationship of a file that is not known yet, or none of them. Raises CaseloadRejected."""
        clinic = await self._require("clinic", self.store.clinics, clinic_id)
        rows, errors = await asyncio.to_thread(caseload_csv.parse_caseload, content, ZoneInfo(clinic.time_zone))
        while True:
            existing = await self.store.load_existing(clinic_id, rows)
            plan = await asyncio.to_thread(import_plan.plan_import, clinic_id, rows, existing, self.clock())
            if errors or plan.errors:
                self.metrics.count_import("rejected")
                raise CaseloadRejected([*errors, *plan.errors])
            if not dry_run:
                try:
                    await self.store.insert_plan(plan)
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

    async def _change_relationship(self, relationship_id: UUID, decide: Decide[Relationship]) -> Relationship:
        change = await self.store.relationships.change(relationship_id, decide)
        self.metrics.count_events(change.events)
        return change.after

    async def _require(self, resource: str, documents: DocumentCollection[DocumentT], document_id: UUID) -> DocumentT:
        found = await documents.get(document_id)
        if found is None:
            raise NotFound(
                f"unknown-{resource}",
                f"{resource.capitalize()} {document_id} is not known here. Check the id, or add it first: "
                f"PUT /{resource}s/{document_id}.",
            )
        return found


def _require_relationship(relationship_id: UUID, found: Relationship | None) -> Relationship:
    if found is None:
        raise NotFound(
            "unknown-relationship",
            f"Relationship {relationship_id} is not known here. Check the id, or start it first: "
            f"PUT /relationships/{relationship_id}.",
        )
    return found
