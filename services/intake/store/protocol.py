"""What intake must remember: clinics, clinicians, clients and relationships."""

from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import ExistingRecords, ImportPlan
from services.intake.domain.people import CaseCodeAssignment, Client, Clinic, Clinician
from services.intake.domain.relationship import (
    Relationship,
)
from services.intake.domain.relationships import (
    Decision,
)
from shared.outbox.documents import Change, Decide, DocumentCollection

DecideWithOpenRelationships = Callable[[Relationship | None, Sequence[Relationship]], Decision]
"""Decides how a relationship changes, from that one, None if it does not exist, and the client's open ones."""
DecideSuccessor = Callable[[Relationship | None, Relationship, Sequence[Relationship]], Decision]
"""Decides how the next relationship starts, from that one, usually None, the one that ended, and the open ones."""


class Store(Protocol):
    """Stores the documents of intake. Every method writes everything or nothing, each document with its events.

    Every method raises StoreUnavailable; then it is unknown whether it wrote. It is idempotent if what is decided is.
    """

    @property
    def clinics(self) -> DocumentCollection[Clinic]:
        """The clinics by id."""

    @property
    def clinicians(self) -> DocumentCollection[Clinician]:
        """The clinicians by id."""

    @property
    def clients(self) -> DocumentCollection[Client]:
        """The clients by id."""

    @property
    def relationships(self) -> DocumentCollection[Relationship]:
        """The relationships by id."""

    async def list_unpublished_clinics(self) -> list[Clinic]:
        """The clinics that an older version stored without an event."""

    async def add_client(
        self,
        client_id: UUID,
        decide_client: Decide[Client],
        case_code_id: UUID,
        decide_case_code: Decide[CaseCodeAssignment],
    ) -> Change[Client]:
        """Write a client and the case code, or neither. Raises what the decisions raise.

        Of two parallel requests for the same code, the second one is decided with the assignment of the first.
        """

    async def start_relationship(
        self, relationship_id: UUID, client_id: UUID, decide: DecideWithOpenRelationships
    ) -> Change[Relationship]:
        """Write a relationship of a client who exists. Raises what the decision raises.

        Of two parallel starts for a client, the second one is decided with the relationship of the first.
        """

    async def change_with_open_relationships(
        self, relationship_id: UUID, client_id: UUID, decide: DecideWithOpenRelationships
    ) -> Change[Relationship]:
        """Write a relationship, decided with the open ones of its client. Raises what the decision raises.

        No other one of the client is opened meanwhile. Unlike `start_relationship`, it changes known ones too.
        """

    async def transfer_relationship(
        self, old_id: UUID, decide_end: Decide[Relationship], new_id: UUID, decide_start: DecideSuccessor
    ) -> tuple[Change[Relationship], Change[Relationship]]:
        """Write the end of one relationship and the start of the next, or neither. Raises what the decisions raise."""

    async def list_relationships(self, clinic_id: UUID, after: UUID | None, limit: int) -> list[Relationship]:
        """Up to `limit` of a clinic's relationships whose ids are greater than `after`, ordered by id."""

    async def load_existing(self, clinic_id: UUID, rows: Sequence[Row]) -> ExistingRecords:
        """The stored records that `rows` refer to; those that do not exist are missing."""

    async def insert_plan(self, plan: ImportPlan) -> None:
        """Write the whole plan or nothing. Raises VersionConflict if a part of it exists by now."""
