"""Enrolling: who is part of the network, who works with whom, and what became of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import structlog
from pydantic import BaseModel

from services.intake.domain import caseload_csv, import_plan, people, relationships
from services.intake.domain.caseload_csv import RowError
from services.intake.domain.people import CaseCodeAssignment, Client, Clinic, Clinician
from services.intake.domain.relationships import (
    AimsAgreement,
    Consent,
    Decision,
    End,
    NonTransferEndReason,
    Relationship,
    Start,
)
from services.intake.metrics import IntakeMetrics
from services.intake.store.mongo import Store
from shared.errors import NotFound, Rejected
from shared.events import Aim, CaseCode, Event, TimeZone, UtcDatetime
from shared.outbox.documents import Documents, VersionConflict

log = structlog.get_logger()

DocumentT = TypeVar("DocumentT", bound=BaseModel)


class CaseloadRejected(Rejected):
    """Something is wrong in a caseload file; nothing of it was written."""

    def __init__(self, errors: Sequence[RowError]) -> None:
        super().__init__("caseload-not-valid", f"{len(errors)} things are wrong")
        self.errors = sorted(errors, key=lambda error: error.row)


@dataclass(frozen=True)
class ImportResult:
    """What became of a caseload file, or would become of it when it was only tried."""

    row_count: int
    started_count: int
    already_known_count: int


@dataclass(frozen=True)
class IntakeService:
    """Everything that can be done at intake. All of it is safe to repeat."""

    store: Store
    metrics: IntakeMetrics
    clock: Callable[[], datetime]
    """To the millisecond."""

    async def get_relationship(self, relationship_id: UUID) -> Relationship:
        """The relationship. Raises Unknown and StoreUnavailable, as everything here does."""
        return _require_relationship(relationship_id, await self.store.relationships.get(relationship_id))

    async def list_relationships(self, clinic_id: UUID, after: UUID | None, limit: int) -> list[Relationship]:
        """A clinic's relationships in the order of their ids, those behind `after`."""
        await self._require("clinic", self.store.clinics, clinic_id)
        return await self.store.list_relationships(clinic_id, after, limit)

    async def save_clinic(self, clinic: Clinic) -> Clinic:
        """Note what a clinic is called, when its days begin, and whom its clients turn to in a crisis."""
        return await self.store.clinics.change(clinic.clinic_id, lambda _: (clinic, ()))

    async def register_clinician(
        self, clinician_id: UUID, clinic_id: UUID, contact: str, time_zone: TimeZone
    ) -> Clinician:
        """Note who works at a clinic."""
        await self._require("clinic", self.store.clinics, clinic_id)
        requested = Clinician(
            clinician_id=clinician_id, clinic_id=clinic_id, contact=contact, time_zone=time_zone, told_at=self.clock()
        )
        new_events: list[Event] = []

        def decide(before: Clinician | None) -> tuple[Clinician, Sequence[Event]]:
            clinician, new_events[:] = people.register_clinician(before, requested)
            return clinician, new_events

        clinician = await self.store.clinicians.change(clinician_id, decide)
        self.metrics.count_events(new_events)
        return clinician

    async def add_client(self, client_id: UUID, clinic_id: UUID, case_code: CaseCode) -> Client:
        """Note who comes to a clinic. Raises Refused."""
        await self._require("clinic", self.store.clinics, clinic_id)
        requested = Client(client_id=client_id, clinic_id=clinic_id, case_code=case_code)
        case_code_assignment = CaseCodeAssignment(client_id=client_id, clinic_id=clinic_id, case_code=case_code)
        return await self.store.add_client(
            client_id,
            lambda before: people.add_client(before, requested),
            CaseCodeAssignment.document_id(clinic_id, case_code),
            lambda before: people.assign_case_code(before, case_code_assignment),
        )

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
        """Begin a relationship. Raises Refused."""
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
        return await self._change_relationship(
            relationship_id,
            lambda before: relationships.start_relationship(before, relationship_id, start, clinician, client, now),
        )

    async def update_aims(self, relationship_id: UUID, agreement: AimsAgreement) -> Relationship:
        """Note that the two agreed anew on what the therapy is for. Raises Refused."""
        now = self.clock()
        return await self._change_relationship(
            relationship_id,
            lambda before: relationships.update_aims(_require_relationship(relationship_id, before), agreement, now),
        )

    async def change_consent(self, relationship_id: UUID, consent_change: Consent) -> Relationship:
        """Note that the client agrees to be asked about the sessions, or no longer does. Raises Refused."""
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
        """Note that the two no longer work together. Raises Refused."""
        now, ending = self.clock(), End(reason=reason, at=at)
        return await self._change_relationship(
            relationship_id,
            lambda before: relationships.end_relationship(_require_relationship(relationship_id, before), ending, now),
        )

    async def transfer_relationship(
        self, relationship_id: UUID, successor_id: UUID, clinician_id: UUID, at: UtcDatetime
    ) -> tuple[Relationship, Relationship]:
        """End a relationship and begin the client's next one, or neither. Raises Refused."""
        successor_clinician = await self._require("clinician", self.store.clinicians, clinician_id)
        now = self.clock()
        ended: list[Relationship] = []
        new_events: list[Event] = []

        def decide_end(before: Relationship | None) -> Decision:
            old, events = relationships.end_for_transfer(
                _require_relationship(relationship_id, before), successor_id, successor_clinician, at, now
            )
            ended[:], new_events[:] = [old], events
            return old, events

        def decide_start(before: Relationship | None) -> Decision:
            new, events = relationships.start_successor(before, ended[0], successor_clinician)
            new_events.extend(events)
            return new, events

        transferred = await self.store.transfer_relationship(relationship_id, decide_end, successor_id, decide_start)
        self.metrics.count_events(new_events)
        return transferred

    async def import_caseload(self, clinic_id: UUID, content: bytes, *, dry_run: bool) -> ImportResult:
        """Begin every relationship of a file that is not known yet, or none of them. Raises FileRefused."""
        clinic = await self._require("clinic", self.store.clinics, clinic_id)
        rows, errors = await asyncio.to_thread(caseload_csv.parse_caseload, content, ZoneInfo(clinic.time_zone))
        while True:
            existing = await self.store.load_existing(clinic_id, rows)
            plan = await asyncio.to_thread(import_plan.plan_import, clinic_id, rows, existing, self.clock())
            if errors or plan.errors:
                self.metrics.count_import("refused")
                raise CaseloadRejected([*errors, *plan.errors])
            if not dry_run:
                try:
                    await self.store.insert_plan(plan)
                except VersionConflict:
                    continue  # somebody else added some of it: decide anew
                self.metrics.count_events(plan.events)
            break
        self.metrics.count_import("tried" if dry_run else "imported")
        started_count = len(plan.relationships)
        log.info("caseload read", clinic_id=str(clinic_id), rows=len(rows), started=started_count, dry_run=dry_run)
        return ImportResult(
            row_count=len(rows), started_count=started_count, already_known_count=len(rows) - started_count
        )

    async def _change_relationship(
        self, relationship_id: UUID, decide: Callable[[Relationship | None], Decision]
    ) -> Relationship:
        new_events: list[Event] = []

        def decide_and_collect(before: Relationship | None) -> Decision:
            after, new_events[:] = decide(before)
            return after, new_events

        after = await self.store.relationships.change(relationship_id, decide_and_collect)
        self.metrics.count_events(new_events)
        return after

    async def _require(self, resource: str, documents: Documents[DocumentT], document_id: UUID) -> DocumentT:
        found = await documents.get(document_id)
        if found is None:
            raise NotFound(
                f"unknown-{resource}",
                f"{resource.capitalize()} {document_id} is not known here; check the id, or enter it first: PUT /{resource}s/{document_id}",
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
