"""The store of intake in memory, with the same promises as the one in MongoDB; for tests."""

from collections.abc import Collection, Sequence
from uuid import UUID

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import ExistingRecords, ImportPlan, case_code_ids, group_by_client
from services.intake.domain.invitations import Invitee
from services.intake.domain.people import CaseCodeAssignment, Client, Clinic, Clinician
from services.intake.domain.relationship import (
    Relationship,
)
from services.intake.store.protocol import DecideSuccessor, DecideWithOpenRelationships
from shared.access.clinic_id import ClinicId
from shared.events import Event
from shared.outbox.documents import Change, Decide, VersionConflict
from shared.outbox.memory import InMemoryDocuments
from shared.staff.staff import ClinicStaff


class InMemoryStore:
    """A store in memory. Nothing is awaited between reading and writing, so every method is atomic."""

    def __init__(self) -> None:
        self.pending_events: list[Event] = []
        """The events of all changes, which nobody publishes."""
        self.clinics = InMemoryDocuments[Clinic](self.pending_events)
        self.staff_records = InMemoryDocuments[ClinicStaff](self.pending_events)
        self.invitees = InMemoryDocuments[Invitee](self.pending_events)
        self.clinicians = InMemoryDocuments[Clinician](self.pending_events)
        self.clients = InMemoryDocuments[Client](self.pending_events)
        self.case_codes = InMemoryDocuments[CaseCodeAssignment](self.pending_events)
        self.relationships = InMemoryDocuments[Relationship](self.pending_events, "start.clinic_id")

    async def find_invitee(self, token_hash: str) -> Invitee | None:
        invitees = [stored.value for stored in self.invitees.stored.values()]
        return next((i for i in invitees if i.invitation and i.invitation.token_hash == token_hash), None)

    async def list_unpublished_clinics(self) -> list[Clinic]:
        return [stored.value for stored in self.clinics.stored.values() if stored.value.last_event_at is None]

    async def add_client(
        self,
        clinic: ClinicId | None,
        client_id: UUID,
        decide_client: Decide[Client],
        case_code_id: UUID,
        decide_case_code: Decide[CaseCodeAssignment],
    ) -> Change[Client]:
        client = self.clients.within(clinic).decide(client_id, decide_client)
        case_code = self.case_codes.within(clinic).decide(case_code_id, decide_case_code)
        self.clients.write(client_id, client)
        self.case_codes.write(case_code_id, case_code)
        return client

    async def start_relationship(
        self,
        clinic: ClinicId | None,
        relationship_id: UUID,
        client_id: UUID,
        decide: DecideWithOpenRelationships,
    ) -> Change[Relationship]:
        change = self.relationships.within(clinic).decide(
            relationship_id, lambda before: decide(before, self._open_relationships(clinic, {client_id}))
        )
        self.relationships.write(relationship_id, change)
        return change

    change_with_open_relationships = start_relationship

    async def transfer_relationship(
        self,
        clinic: ClinicId | None,
        old_id: UUID,
        decide_end: Decide[Relationship],
        new_id: UUID,
        decide_start: DecideSuccessor,
    ) -> tuple[Change[Relationship], Change[Relationship]]:
        relationships = self.relationships.within(clinic)
        old = relationships.decide(old_id, decide_end)
        others = [
            r for r in self._open_relationships(clinic, {old.after.start.client_id}) if r.relationship_id != old_id
        ]
        new = relationships.decide(new_id, lambda before: decide_start(before, old.after, others))
        self.relationships.write(old_id, old)
        self.relationships.write(new_id, new)
        return old, new

    async def list_relationships(self, clinic: ClinicId, after: UUID | None, limit: int) -> list[Relationship]:
        return [
            stored.value
            for relationship_id, stored in sorted(self.relationships.within(clinic).stored.items())
            if after is None or relationship_id > after
        ][:limit]

    async def has_open_relationships(self, clinic: ClinicId | None, clinician_id: UUID) -> bool:
        relationships = [stored.value for stored in self.relationships.within(clinic).stored.values()]
        return any(r.start.clinician_id == clinician_id and r.end is None for r in relationships)

    async def load_existing(self, clinic: ClinicId, rows: Sequence[Row]) -> ExistingRecords:
        client_ids, relationship_ids = {row.client_id for row in rows}, {row.relationship_id for row in rows}
        clients = self.clients.within(clinic).find_all(client_ids)
        relationships = self.relationships.within(clinic).find_all(relationship_ids)
        return ExistingRecords(
            clinicians=self.clinicians.within(clinic).find_all({row.clinician_id for row in rows}),
            clients=clients,
            case_codes=self.case_codes.within(clinic).find_all(case_code_ids(clinic, rows)),
            relationships=relationships,
            open_relationships=group_by_client(self._open_relationships(clinic, client_ids)),
            ids_of_other_clinics={
                *(self.clients.find_all(client_ids).keys() - clients.keys()),
                *(self.relationships.find_all(relationship_ids).keys() - relationships.keys()),
            },
        )

    async def insert_plan(self, clinic: ClinicId, plan: ImportPlan) -> None:
        if (
            plan.clients.keys() & self.clients.stored.keys()
            or plan.case_codes.keys() & self.case_codes.stored.keys()
            or plan.relationships.keys() & self.relationships.stored.keys()
            or plan.contradicts(self._open_relationships(clinic, plan.open_relationships))
        ):
            raise VersionConflict
        for client_id, client in plan.clients.items():
            self.clients.put(client_id, client)
        for case_code_id, case_code in plan.case_codes.items():
            self.case_codes.put(case_code_id, case_code)
        for relationship_id, (relationship, events) in plan.relationships.items():
            self.relationships.put(relationship_id, relationship, events)

    def _open_relationships(self, clinic: ClinicId | None, client_ids: Collection[UUID]) -> list[Relationship]:
        relationships = [stored.value for stored in self.relationships.within(clinic).stored.values()]
        return [r for r in relationships if r.start.client_id in client_ids and r.end is None]
