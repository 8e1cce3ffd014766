"""The store of the intake service in MongoDB: clinics, their staff, clinicians, clients and relationships.

Correctness relies only on the uniqueness of `_id`. Every index is there for speed.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel
from pymongo.errors import BulkWriteError

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import ExistingRecords, ImportPlan, case_code_ids, group_by_client
from services.intake.domain.invitations import Invitee
from services.intake.domain.people import CaseCodeAssignment, Client, Clinic, Clinician
from services.intake.domain.relationship import (
    Relationship,
)
from services.intake.store.protocol import DecideSuccessor, DecideWithOpenRelationships
from services.intake.store.stored_names import STORED_NAMES
from shared.access.clinic_id import ClinicId
from shared.mongo.client import Document, Mongo, has_errors_besides_duplicates, translate_errors
from shared.outbox.documents import Change, Decide, Documents, Transaction, VersionConflict, change_in_transaction
from shared.outbox.relay import Outbox, outbox_entries
from shared.staff.staff import ClinicStaff

CLINICS = "clinics"
STAFF_RECORDS = "staff_records"
CLINICIANS = "clinicians"
RELATIONSHIPS = "relationships"

DocumentT = TypeVar("DocumentT", bound=BaseModel)


class MongoStore:
    """A store in MongoDB: one collection for each kind of document."""

    def __init__(self, mongo: Mongo, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self.clinics = Documents(mongo[CLINICS], Clinic, outbox, clock)
        self.staff_records = Documents(mongo[STAFF_RECORDS], ClinicStaff, outbox, clock)
        self.invitees = Documents(mongo["invitations"], Invitee, outbox, clock)
        self.clinicians = Documents(mongo[CLINICIANS], Clinician, outbox, clock, STORED_NAMES)
        self.clients = Documents(mongo["clients"], Client, outbox, clock)
        self.case_codes = Documents(mongo["case_codes"], CaseCodeAssignment, outbox, clock)
        self.relationships = Documents(
            mongo[RELATIONSHIPS], Relationship, outbox, clock, clinic_field="start.clinic_id"
        )
        self._mongo = mongo
        self._clock = clock

    async def create_indexes(self) -> None:
        """Create the indexes. Idempotent. Raises StoreUnavailable."""
        with translate_errors():
            await self.relationships.collection.create_index([("start.clinic_id", 1), ("_id", 1)], name="clinic")
            await self.relationships.collection.create_index("start.client_id", name="client")
            await self.relationships.collection.create_index("start.clinician_id", name="clinician")
            await self.invitees.collection.create_index("invitation.token_hash", name="invitation", sparse=True)

    async def find_invitee(self, token_hash: str) -> Invitee | None:
        found = await self.invitees.find({"invitation.token_hash": token_hash})
        return None if found is None else found.value

    async def list_unpublished_clinics(self) -> list[Clinic]:
        with translate_errors():
            documents = await self.clinics.collection.find({"last_event_at": None}).to_list(None)
        return [self.clinics.parse(document) for document in documents]

    async def add_client(
        self,
        clinic: ClinicId | None,
        client_id: UUID,
        decide_client: Decide[Client],
        case_code_id: UUID,
        decide_case_code: Decide[CaseCodeAssignment],
    ) -> Change[Client]:
        async def add_both(transaction: Transaction) -> Change[Client]:
            client = await transaction.change(self.clients.within(clinic), client_id, decide_client)
            await transaction.change(self.case_codes.within(clinic), case_code_id, decide_case_code)
            return client

        return await change_in_transaction(self._mongo, add_both)

    async def start_relationship(
        self,
        clinic: ClinicId | None,
        relationship_id: UUID,
        client_id: UUID,
        decide: DecideWithOpenRelationships,
    ) -> Change[Relationship]:
        relationships = self.relationships.within(clinic)
        known = await relationships.load(relationship_id)
        if known is not None:  # a repeated request, which needs no transaction
            return await relationships.change(relationship_id, lambda before: decide(before, ()), known)
        return await self.change_with_open_relationships(clinic, relationship_id, client_id, decide)

    async def change_with_open_relationships(
        self,
        clinic: ClinicId | None,
        relationship_id: UUID,
        client_id: UUID,
        decide: DecideWithOpenRelationships,
    ) -> Change[Relationship]:
        async def change(transaction: Transaction) -> Change[Relationship]:
            others = await self._lock_open_relationships(clinic, transaction, {client_id})
            return await transaction.change(
                self.relationships.within(clinic), relationship_id, lambda before: decide(before, others)
            )

        return await change_in_transaction(self._mongo, change)

    async def _lock_open_relationships(
        self, clinic: ClinicId | None, transaction: Transaction, client_ids: Collection[UUID]
    ) -> list[Relationship]:
        """The open relationships of clients, to which no other transaction adds one until this one is done."""
        await transaction.lock(self.clients.within(clinic), client_ids)
        return await transaction.find_all(self.relationships.within(clinic), _open_relationships(client_ids))

    async def transfer_relationship(
        self,
        clinic: ClinicId | None,
        old_id: UUID,
        decide_end: Decide[Relationship],
        new_id: UUID,
        decide_start: DecideSuccessor,
    ) -> tuple[Change[Relationship], Change[Relationship]]:
        relationships = self.relationships.within(clinic)

        async def change_both(transaction: Transaction) -> tuple[Change[Relationship], Change[Relationship]]:
            old = await transaction.change(relationships, old_id, decide_end)
            # The one that ends is not among them: it has ended in this transaction.
            others = await self._lock_open_relationships(clinic, transaction, {old.after.start.client_id})
            new = await transaction.change(
                relationships, new_id, lambda before: decide_start(before, old.after, others)
            )
            return old, new

        return await change_in_transaction(self._mongo, change_both)

    async def list_relationships(self, clinic: ClinicId, after: UUID | None, limit: int) -> list[Relationship]:
        relationships = self.relationships.within(clinic)
        query = relationships.filter({} if after is None else {"_id": {"$gt": after}})
        with translate_errors():
            documents = await relationships.collection.find(query).sort("_id", 1).limit(limit).to_list(limit)
        return [relationships.parse(document) for document in documents]

    async def has_open_relationships(self, clinic: ClinicId | None, clinician_id: UUID) -> bool:
        relationships = self.relationships.within(clinic)
        return await relationships.find({"start.clinician_id": clinician_id, "end": None}) is not None

    async def load_existing(self, clinic: ClinicId, rows: Sequence[Row]) -> ExistingRecords:
        """In seven round trips."""
        client_ids, relationship_ids = {row.client_id for row in rows}, {row.relationship_id for row in rows}
        relationships, clients = self.relationships.within(clinic), self.clients.within(clinic)
        with translate_errors():
            open_relationships = await relationships.collection.find(
                relationships.filter(_open_relationships(client_ids))
            ).to_list(None)
            ids_of_other_clinics = {
                document["_id"]
                for documents, ids in ((clients, client_ids), (relationships, relationship_ids))
                for document in await documents.collection.find(
                    {"_id": {"$in": list(ids)}, documents.clinic_field: {"$ne": clinic}}, {"_id": 1}
                ).to_list(None)
            }
        return ExistingRecords(
            clinicians=await _load_by_id(self.clinicians.within(clinic), {row.clinician_id for row in rows}),
            clients=await _load_by_id(clients, client_ids),
            case_codes=await _load_by_id(self.case_codes.within(clinic), case_code_ids(clinic, rows)),
            relationships=await _load_by_id(relationships, relationship_ids),
            open_relationships=group_by_client(map(relationships.parse, open_relationships)),
            ids_of_other_clinics=ids_of_other_clinics,
        )

    async def insert_plan(self, clinic: ClinicId, plan: ImportPlan) -> None:
        """In one transaction of five round trips."""
        now = self._clock()
        entries_by_relationship = {
            document_id: outbox_entries(events, now) for document_id, (_, events) in plan.relationships.items()
        }
        client_documents = [_new_document(document_id, client) for document_id, client in plan.clients.items()]
        case_code_documents = [
            _new_document(document_id, case_code) for document_id, case_code in plan.case_codes.items()
        ]
        relationship_documents = [
            {**_new_document(document_id, relationship), "owed": entries_by_relationship[document_id]}
            for document_id, (relationship, _) in plan.relationships.items()
        ]

        async def insert_all(transaction: Transaction) -> None:
            if plan.contradicts(await self._lock_open_relationships(clinic, transaction, plan.open_relationships)):
                raise VersionConflict
            await transaction.insert_all(self.clients, client_documents)
            await transaction.insert_all(self.case_codes, case_code_documents)
            await transaction.insert_all(self.relationships, relationship_documents)

        try:
            await self._mongo.run_transaction(lambda session: insert_all(Transaction(session)))
        except BulkWriteError as error:
            if has_errors_besides_duplicates(error):
                raise
            raise VersionConflict from None
        for document_id, entries in entries_by_relationship.items():
            self.relationships.enqueue(document_id, entries)


def _open_relationships(client_ids: Collection[UUID]) -> Document:
    return {"start.client_id": {"$in": list(client_ids)}, "end": None}


def _new_document(document_id: UUID, document: BaseModel) -> Document:
    """What `Documents` would write for a new document."""
    return {"_id": document_id, **STORED_NAMES.to_document(document), "v": 1}


async def _load_by_id(documents: Documents[DocumentT], ids: Collection[UUID]) -> dict[UUID, DocumentT]:
    with translate_errors():
        found_documents = await documents.collection.find(documents.filter({"_id": {"$in": list(ids)}})).to_list(None)
    return {document["_id"]: documents.parse(document) for document in found_documents}
