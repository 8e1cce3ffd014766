"""The use cases about clinics, clinicians and clients."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.intake.domain import people
from services.intake.domain.case_codes import choose_case_codes
from services.intake.domain.people import CaseCodeAssignment, Client, Clinic, Clinician, not_found
from services.intake.metrics import IntakeMetrics
from services.intake.service.required import require
from services.intake.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.errors import Rejected
from shared.events import CaseCode, TimeZone


@dataclass(frozen=True)
class PeopleService:
    """Adds and changes people. Each use case is idempotent and raises NotFound, Rejected and StoreUnavailable.

    A request is confined to its clinic: what belongs to another one is not found. None means every clinic.
    """

    store: Store
    metrics: IntakeMetrics
    clock: Callable[[], datetime]
    """The time, in whole milliseconds."""

    async def save_clinic(self, clinic: ClinicId | None, requested: Clinic) -> Clinic:
        """Add a clinic, or replace its name, time zone and crisis contact."""
        if clinic not in (None, requested.clinic_id):
            raise not_found("clinic", requested.clinic_id)
        now = self.clock()
        change = await self.store.clinics.within(clinic).change(
            requested.clinic_id, lambda before: people.save_clinic(before, requested, now)
        )
        self.metrics.count_events(change.events)
        return change.after

    async def publish_unpublished_clinics(self) -> None:
        """Publish the clinics that an older version stored without an event."""
        now = self.clock()
        for clinic in await self.store.list_unpublished_clinics():
            # As it is stored by now: a request may have changed it meanwhile.
            change = await self.store.clinics.within(ClinicId(clinic.clinic_id)).change(
                clinic.clinic_id,
                lambda before, listed=clinic: people.save_clinic(before, before or listed, now),  # type: ignore[misc]
            )
            self.metrics.count_events(change.events)

    async def register_clinician(
        self, clinic: ClinicId | None, clinician_id: UUID, clinic_id: UUID, contact: str, time_zone: TimeZone
    ) -> Clinician:
        """Register a clinician of a clinic, or update one.

        A clinician with open relationships does not move to another clinic; one that starts meanwhile is not seen.
        """
        await require("clinic", self.store.clinics.within(clinic), clinic_id)
        requested = Clinician(
            clinician_id=clinician_id,
            clinic_id=clinic_id,
            contact=contact,
            time_zone=time_zone,
            last_event_at=self.clock(),
        )
        clinicians = self.store.clinicians.within(clinic)
        known = await clinicians.load(clinician_id)
        moves = known is not None and known.value.clinic_id != clinic_id
        can_move = moves and not await self.store.has_open_relationships(clinic, clinician_id)
        change = await clinicians.change(
            clinician_id, lambda before: people.register_clinician(before, requested, can_move=can_move), known
        )
        self.metrics.count_events(change.events)
        return change.after

    async def add_client(
        self, clinic: ClinicId | None, client_id: UUID, clinic_id: UUID, case_code: CaseCode | None
    ) -> Client:
        """Add a client to a clinic, without `case_code` under one that is chosen here."""
        await require("clinic", self.store.clinics.within(clinic), clinic_id)
        own_clinic = ClinicId(clinic_id)
        if case_code is not None:
            return await self._add_client(own_clinic, client_id, case_code)
        existing = await self.store.clients.within(own_clinic).get(client_id)
        for choice in [existing.case_code] if existing else choose_case_codes(client_id):
            try:
                return await self._add_client(own_clinic, client_id, choice)
            except Rejected as error:
                if existing or error.code != "case-code-taken":
                    raise
        raise AssertionError("there is always another choice")

    async def _add_client(self, clinic: ClinicId, client_id: UUID, case_code: CaseCode) -> Client:
        requested = Client(client_id=client_id, clinic_id=clinic, case_code=case_code)
        case_code_assignment = CaseCodeAssignment(client_id=client_id, clinic_id=clinic, case_code=case_code)
        change = await self.store.add_client(
            clinic,
            client_id,
            lambda before: people.add_client(before, requested),
            CaseCodeAssignment.document_id(clinic, case_code),
            lambda before: people.assign_case_code(before, case_code_assignment),
        )
        return change.after
