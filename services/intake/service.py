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
from services.intake.domain.caseload_csv import Wrong
from services.intake.domain.people import Client, Clinic, Clinician, TakenCode
from services.intake.domain.relationships import Agreement, Consent, Decided, End, OwnEndReason, Relationship, Start
from services.intake.metrics import IntakeMetrics
from services.intake.store.mongo import Store
from shared.errors import Refused, Unknown
from shared.events import Aim, CaseCode, Event, Moment, TimeZone
from shared.outbox.documents import ChangedMeanwhile, Documents

log = structlog.get_logger()

Kind = TypeVar("Kind", bound=BaseModel)


class FileRefused(Refused):
    """Something is wrong in a caseload file; nothing of it was written."""

    def __init__(self, errors: Sequence[Wrong]) -> None:
        super().__init__("caseload-not-valid", f"{len(errors)} things are wrong")
        self.wrong = sorted(errors, key=lambda error: error.row)


@dataclass(frozen=True)
class Imported:
    """What became of a caseload file, or would become of it when it was only tried."""

    rows: int
    started: int
    already_known: int


@dataclass(frozen=True)
class Desk:
    """Everything that can be done at intake. All of it is safe to repeat."""

    store: Store
    metrics: IntakeMetrics
    clock: Callable[[], datetime]
    """To the millisecond."""

    async def find(self, relationship_id: UUID) -> Relationship:
        """The relationship. Raises Unknown and StoreUnavailable, as everything here does."""
        return _known(relationship_id, await self.store.relationships.get(relationship_id))

    async def caseload(self, clinic_id: UUID, after: UUID | None, most: int) -> list[Relationship]:
        """A clinic's relationships in the order of their ids, those behind `after`."""
        await self._there("clinic", self.store.clinics, clinic_id)
        return await self.store.of_clinic(clinic_id, after, most)

    async def open_clinic(self, clinic: Clinic) -> Clinic:
        """Note what a clinic is called, when its days begin, and whom its clients turn to in a crisis."""
        return await self.store.clinics.change(clinic.clinic_id, lambda _: (clinic, ()))

    async def register(self, clinician_id: UUID, clinic_id: UUID, contact: str, time_zone: TimeZone) -> Clinician:
        """Note who works at a clinic."""
        await self._there("clinic", self.store.clinics, clinic_id)
        requested = Clinician(
            clinician_id=clinician_id, clinic_id=clinic_id, contact=contact, time_zone=time_zone, told_at=self.clock()
        )
        new_events: list[Event] = []

        def decide(before: Clinician | None) -> tuple[Clinician, Sequence[Event]]:
            clinician, new_events[:] = people.register(before, requested)
            return clinician, new_events

        clinician = await self.store.clinicians.change(clinician_id, decide)
        self.metrics.happened(new_events)
        return clinician

    async def admit(self, client_id: UUID, clinic_id: UUID, case_code: CaseCode) -> Client:
        """Note who comes to a clinic. Raises Refused."""
        await self._there("clinic", self.store.clinics, clinic_id)
        requested = Client(client_id=client_id, clinic_id=clinic_id, case_code=case_code)
        case_code_assignment = TakenCode(client_id=client_id, clinic_id=clinic_id, case_code=case_code)
        return await self.store.admit(
            client_id,
            lambda before: people.admit(before, requested),
            TakenCode.id_of(clinic_id, case_code),
            lambda before: people.take_code(before, case_code_assignment),
        )

    async def begin(
        self,
        relationship_id: UUID,
        *,
        clinic_id: UUID,
        clinician_id: UUID,
        client_id: UUID,
        started_at: Moment,
        aims: tuple[Aim, ...],
        cadence_days: int,
        consent: bool,
    ) -> Relationship:
        """Begin a relationship. Raises Refused."""
        _, clinician, client = await asyncio.gather(
            self._there("clinic", self.store.clinics, clinic_id),
            self._there("clinician", self.store.clinicians, clinician_id),
            self._there("client", self.store.clients, client_id),
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
        return await self._change(
            relationship_id, lambda before: relationships.begin(before, relationship_id, start, clinician, client, now)
        )

    async def agree(self, relationship_id: UUID, agreement: Agreement) -> Relationship:
        """Note that the two agreed anew on what the therapy is for. Raises Refused."""
        now = self.clock()
        return await self._change(
            relationship_id, lambda before: relationships.agree(_known(relationship_id, before), agreement, now)
        )

    async def hear_client(self, relationship_id: UUID, consent_change: Consent) -> Relationship:
        """Note that the client agrees to be asked about the sessions, or no longer does. Raises Refused."""
        now = self.clock()
        return await self._change(
            relationship_id,
            lambda before: relationships.hear_client(_known(relationship_id, before), consent_change, now),
        )

    async def end(self, relationship_id: UUID, reason: OwnEndReason, at: Moment) -> Relationship:
        """Note that the two no longer work together. Raises Refused."""
        now, ending = self.clock(), End(reason=reason, at=at)
        return await self._change(
            relationship_id, lambda before: relationships.end(_known(relationship_id, before), ending, now)
        )

    async def transfer(
        self, relationship_id: UUID, successor_id: UUID, clinician_id: UUID, at: Moment
    ) -> tuple[Relationship, Relationship]:
        """End a relationship and begin the client's next one, or neither. Raises Refused."""
        successor_clinician = await self._there("clinician", self.store.clinicians, clinician_id)
        now = self.clock()
        ended: list[Relationship] = []
        new_events: list[Event] = []

        def leave(before: Relationship | None) -> Decided:
            old, events = relationships.hand_over(
                _known(relationship_id, before), successor_id, successor_clinician, at, now
            )
            ended[:], new_events[:] = [old], events
            return old, events

        def follow(before: Relationship | None) -> Decided:
            new, events = relationships.follow(before, ended[0], successor_clinician)
            new_events.extend(events)
            return new, events

        transferred = await self.store.hand_over(relationship_id, leave, successor_id, follow)
        self.metrics.happened(new_events)
        return transferred

    async def import_caseload(self, clinic_id: UUID, content: bytes, *, dry_run: bool) -> Imported:
        """Begin every relationship of a file that is not known yet, or none of them. Raises FileRefused."""
        clinic = await self._there("clinic", self.store.clinics, clinic_id)
        rows, errors = await asyncio.to_thread(caseload_csv.read, content, ZoneInfo(clinic.time_zone))
        while True:
            existing = await self.store.known(clinic_id, rows)
            plan = await asyncio.to_thread(import_plan.plan, clinic_id, rows, existing, self.clock())
            if errors or plan.wrong:
                self.metrics.took_file("refused")
                raise FileRefused([*errors, *plan.wrong])
            if not dry_run:
                try:
                    await self.store.add(plan)
                except ChangedMeanwhile:
                    continue  # somebody else added some of it: decide anew
                self.metrics.happened(plan.events)
            break
        self.metrics.took_file("tried" if dry_run else "imported")
        started_count = len(plan.relationships)
        log.info("caseload read", clinic_id=str(clinic_id), rows=len(rows), started=started_count, dry_run=dry_run)
        return Imported(rows=len(rows), started=started_count, already_known=len(rows) - started_count)

    async def _change(self, relationship_id: UUID, decide: Callable[[Relationship | None], Decided]) -> Relationship:
        new_events: list[Event] = []

        def decide_and_note(before: Relationship | None) -> Decided:
            after, new_events[:] = decide(before)
            return after, new_events

        after = await self.store.relationships.change(relationship_id, decide_and_note)
        self.metrics.happened(new_events)
        return after

    async def _there(self, what: str, documents: Documents[Kind], document_id: UUID) -> Kind:
        found = await documents.get(document_id)
        if found is None:
            raise Unknown(
                f"unknown-{what}",
                f"{what.capitalize()} {document_id} is not known here; check the id, or enter it first: PUT /{what}s/{document_id}",
            )
        return found


def _known(relationship_id: UUID, found: Relationship | None) -> Relationship:
    if found is None:
        raise Unknown(
            "unknown-relationship",
            f"Relationship {relationship_id} is not known here. Check the id, or start it first: "
            f"PUT /relationships/{relationship_id}.",
        )
    return found
