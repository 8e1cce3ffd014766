"""The use cases of intake on a store in memory, with a clinic that is known."""

from uuid import UUID, uuid4

from prometheus_client import CollectorRegistry

from services.intake.domain.people import Clinic
from services.intake.domain.relationship import Relationship
from services.intake.metrics import IntakeMetrics
from services.intake.service.caseload import CaseloadService
from services.intake.service.people import PeopleService
from services.intake.service.relationships import RelationshipService
from services.intake.store.memory import InMemoryStore
from shared.access.clinic_id import ClinicId
from tests.support.intake_builders import CLINIC, NOW, STARTED

ANNA, BEN, CLIENT = uuid4(), uuid4(), uuid4()


class Intake:
    """A clinic with two clinicians and a client."""

    def __init__(self, store: InMemoryStore | None = None) -> None:
        self.registry = CollectorRegistry()
        self.store = store or InMemoryStore()
        parts = self.store, IntakeMetrics(self.registry), lambda: NOW
        self.people, self.relationships, self.caseload = (
            PeopleService(*parts),
            RelationshipService(*parts),
            CaseloadService(*parts),
        )

    async def set_up(self) -> None:
        clinic = Clinic(clinic_id=CLINIC, name="Elm", time_zone="Europe/Berlin", crisis_contact="the desk")
        await self.people.save_clinic(CLINIC, clinic)
        for clinician_id in (ANNA, BEN):
            await self.people.register_clinician(CLINIC, clinician_id, CLINIC, "a@example.org", "Europe/Berlin")
        await self.people.add_client(CLINIC, CLIENT, CLINIC, "AB-12")

    async def start(
        self,
        relationship_id: UUID,
        clinician_id: UUID = ANNA,
        clinic: ClinicId | None = CLINIC,
        clinic_id: UUID = CLINIC,
    ) -> Relationship:
        return await self.relationships.start_relationship(
            clinic,
            relationship_id,
            clinic_id=clinic_id,
            clinician_id=clinician_id,
            client_id=CLIENT,
            started_at=STARTED,
            aims=("relief",),
            cadence_days=7,
            consent=True,
        )

    def pending_types(self) -> list[str]:
        return [type(event).__name__ for event in self.store.pending_events]

    def event_count(self, event_type: str) -> float | None:
        return self.registry.get_sample_value("attune_intake_events_total", {"type": event_type})

    def import_count(self, outcome: str) -> float | None:
        return self.registry.get_sample_value("attune_intake_imports_total", {"outcome": outcome})
