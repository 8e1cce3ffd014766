"""The use cases about one relationship, from its start to its end or transfer."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.intake.domain import end_corrections, relationships
from services.intake.domain.people import Client, Clinician
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
from services.intake.service.required import require, require_found
from services.intake.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.events import Aim, UtcDatetime
from shared.outbox.documents import Decide


@dataclass(frozen=True)
class RelationshipService:
    """Starts and changes relationships. Each use case is idempotent and raises NotFound, Rejected, StoreUnavailable.

    A request is confined to its clinic: what belongs to another one is not found. None means every clinic.
    """

    store: Store
    metrics: IntakeMetrics
    clock: Callable[[], datetime]
    """The time, in whole milliseconds."""

    async def get_relationship(self, clinic: ClinicId | None, relationship_id: UUID) -> Relationship:
        return await require("relationship", self.store.relationships.within(clinic), relationship_id)

    async def start_relationship(
        self,
        clinic: ClinicId | None,
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
        """Start a relationship of a clinician and a client of the same clinic."""
        own_clinic = ClinicId(clinic_id)
        clinician, client = await self._load_people(clinic, own_clinic, clinician_id, client_id)
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
            own_clinic,
            relationship_id,
            client_id,
            lambda before, open_relationships: relationships.start_relationship(
                before, relationship_id, start, clinician, client, now, open_relationships
            ),
        )
        self.metrics.count_events(change.events)
        return change.after

    async def _load_people(
        self, clinic: ClinicId | None, own_clinic: ClinicId, clinician_id: UUID, client_id: UUID
    ) -> tuple[Clinician | None, Client]:
        """The clinician, who may have moved since the relationship started, and the client, both of the same clinic."""
        record, clinician, client = await asyncio.gather(
            self.store.clinics.within(clinic).get(own_clinic),
            self.store.clinicians.within(own_clinic).get(clinician_id),
            self.store.clients.within(own_clinic).get(client_id),
        )
        require_found("clinic", own_clinic, record)
        return clinician, require_found("client", client_id, client)

    async def update_aims(
        self, clinic: ClinicId | None, relationship_id: UUID, agreement: AimsAgreement
    ) -> Relationship:
        """Record that client and clinician agreed on new aims."""
        now = self.clock()
        return await self._change_relationship(
            clinic,
            relationship_id,
            lambda before: relationships.update_aims(
                require_found("relationship", relationship_id, before), agreement, now
            ),
        )

    async def change_consent(
        self, clinic: ClinicId | None, relationship_id: UUID, consent_change: Consent
    ) -> Relationship:
        """Record that the client gives or withdraws consent to be asked about the sessions."""
        now = self.clock()
        return await self._change_relationship(
            clinic,
            relationship_id,
            lambda before: relationships.change_consent(
                require_found("relationship", relationship_id, before), consent_change, now
            ),
        )

    async def end_relationship(
        self, clinic: ClinicId | None, relationship_id: UUID, reason: NonTransferEndReason, at: UtcDatetime
    ) -> Relationship:
        """Record the end of a relationship."""
        now, ending = self.clock(), End(reason=reason, at=at)
        return await self._change_relationship(
            clinic,
            relationship_id,
            lambda before: relationships.end_relationship(
                require_found("relationship", relationship_id, before), ending, now
            ),
        )

    async def correct_end(
        self, clinic: ClinicId | None, relationship_id: UUID, correction: EndCorrection
    ) -> Relationship:
        """Replace an end that was recorded by mistake, or take it back."""
        now = self.clock()
        start = (await self.get_relationship(clinic, relationship_id)).start
        change = await self.store.change_with_open_relationships(
            ClinicId(start.clinic_id),
            relationship_id,
            start.client_id,
            lambda before, others: end_corrections.correct_end(
                require_found("relationship", relationship_id, before), correction, now, others
            ),
        )
        self.metrics.count_events(change.events)
        return change.after

    async def transfer_relationship(
        self, clinic: ClinicId | None, relationship_id: UUID, successor_id: UUID, clinician_id: UUID, at: UtcDatetime
    ) -> tuple[Relationship, Relationship]:
        """End a relationship and start the client's next one, or do neither."""
        own_clinic = ClinicId((await self.get_relationship(clinic, relationship_id)).start.clinic_id)
        successor_clinician = await require("clinician", self.store.clinicians.within(own_clinic), clinician_id)
        now = self.clock()
        old, new = await self.store.transfer_relationship(
            own_clinic,
            relationship_id,
            lambda before: relationships.end_for_transfer(
                require_found("relationship", relationship_id, before), successor_id, successor_clinician, at, now
            ),
            successor_id,
            lambda before, ended, others: relationships.start_successor(before, ended, successor_clinician, others),
        )
        self.metrics.count_events([*old.events, *new.events])
        return old.after, new.after

    async def _change_relationship(
        self, clinic: ClinicId | None, relationship_id: UUID, decide: Decide[Relationship]
    ) -> Relationship:
        change = await self.store.relationships.within(clinic).change(relationship_id, decide)
        self.metrics.count_events(change.events)
        return change.after
