"""What intake must remember: clinics, their staff, clinicians, clients and relationships."""

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import ExistingRecords, ImportPlan
from services.intake.domain.invitations import Invitee
from services.intake.domain.people import CaseCodeAssignment, Client, Clinic, Clinician
from services.intake.domain.relationship import (
    Relationship,
)
from services.intake.domain.relationships import (
    Decision,
)
from shared.access.clinic_id import ClinicId
from shared.outbox.documents import Change, ClinicDocuments, Decide
from shared.staff.staff import ClinicStaff

DecideWithOpenRelationships = Callable[[Relationship | None, Sequence[Relationship]], Decision]
"""Decides how a relationship changes, from that one, None if it does not exist, and the client's open ones."""
DecideSuccessor = Callable[[Relationship | None, Relationship, Sequence[Relationship]], Decision]
"""Decides how the next relationship starts, from that one, usually None, the one that ended, and the open ones."""


class Store(Protocol):
    """Stores the documents of intake. Every method writes everything or nothing, each document with its events.

    What serves a request takes its clinic first: what belongs to another clinic is as if it did not exist, and adding a
    record under an id that another clinic holds raises IdTaken. None means every clinic.

    Every method raises StoreUnavailable; then it is unknown whether it wrote. It is idempotent if what is decided is.
    """

    @property
    def clinics(self) -> ClinicDocuments[Clinic]:
        """The clinics by id."""

    @property
    def staff_records(self) -> ClinicDocuments[ClinicStaff]:
        """The staff of each clinic, by the clinic's id."""

    @property
    def invitees(self) -> ClinicDocuments[Invitee]:
        """The people who may be invited, by id."""

    @property
    def clinicians(self) -> ClinicDocuments[Clinician]:
        """The clinicians by id."""

    @property
    def clients(self) -> ClinicDocuments[Client]:
        """The clients by id."""

    @property
    def relationships(self) -> ClinicDocuments[Relationship]:
        """The relationships by id."""

    async def find_invitee(self, token_hash: str) -> Invitee | None:
        """The person, of any clinic, who was invited with this link."""

    async def list_unpublished_clinics(self) -> list[Clinic]:
        """The clinics that an older version stored without an event."""

    async def add_client(
        self,
        clinic: ClinicId | None,
        client_id: UUID,
        decide_client: Decide[Client],
        case_code_id: UUID,
        decide_case_code: Decide[CaseCodeAssignment],
    ) -> Change[Client]:
        """Write a client and the case code, or neither. Raises what the decisions raise.

        Of two parallel requests for the same code, the second one is decided with the assignment of the first.
        """

    async def start_relationship(
        self,
        clinic: ClinicId | None,
        relationship_id: UUID,
        client_id: UUID,
        decide: DecideWithOpenRelationships,
    ) -> Change[Relationship]:
        """Write a relationship of a client who exists. Raises what the decision raises.

        Of two parallel starts for a client, the second one is decided with the relationship of the first.
        """

    async def change_with_open_relationships(
        self,
        clinic: ClinicId | None,
        relationship_id: UUID,
        client_id: UUID,
        decide: DecideWithOpenRelationships,
    ) -> Change[Relationship]:
        """Write a relationship, decided with the open ones of its client. Raises what the decision raises.

        No other one of the client is opened meanwhile. Unlike `start_relationship`, it changes known ones too.
        """

    async def transfer_relationship(
        self,
        clinic: ClinicId | None,
        old_id: UUID,
        decide_end: Decide[Relationship],
        new_id: UUID,
        decide_start: DecideSuccessor,
    ) -> tuple[Change[Relationship], Change[Relationship]]:
        """Write the end of one relationship and the start of the next, or neither. Raises what the decisions raise."""

    async def list_relationships(self, clinic: ClinicId, after: UUID | None, limit: int) -> list[Relationship]:
        """Up to `limit` of a clinic's relationships whose ids are greater than `after`, ordered by id."""

    async def has_open_relationships(self, clinic: ClinicId | None, clinician_id: UUID) -> bool:
        """Whether a relationship of the clinician has not ended."""

    async def load_existing(self, clinic: ClinicId, rows: Sequence[Row]) -> ExistingRecords:
        """The clinic's records that `rows` refer to; those that do not exist are missing.

        Of the records of other clinics it only says that there are some under these ids.
        """

    async def insert_plan(self, clinic: ClinicId, plan: ImportPlan) -> None:
        """Write the whole plan or nothing. Raises VersionConflict if a part of it exists by now."""
