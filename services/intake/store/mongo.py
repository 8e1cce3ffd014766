"""What intake needs remembered: clinics, who works there, who comes there, and who works with whom.

Only the uniqueness of `_id` is relied on; every index is there for speed.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel
from pymongo.errors import BulkWriteError

from services.intake.domain.caseload_csv import Row
from services.intake.domain.import_plan import Known, Plan
from services.intake.domain.people import Client, Clinic, Clinician, TakenCode
from services.intake.domain.relationships import Relationship
from shared.mongo.client import Document, Mongo, Session, other_than_duplicates, unavailable
from shared.outbox.documents import ChangedMeanwhile, Decide, Documents, change_together
from shared.outbox.relay import Outbox, owed

CLINICIANS = "clinicians"
RELATIONSHIPS = "relationships"

Kind = TypeVar("Kind", bound=BaseModel)


class Store:
    """Remembers in MongoDB."""

    def __init__(self, mongo: Mongo, outbox: Outbox, clock: Callable[[], datetime]) -> None:
        self.clinics = Documents(mongo["clinics"], Clinic, outbox, clock)
        self.clinicians = Documents(mongo[CLINICIANS], Clinician, outbox, clock)
        self.clients = Documents(mongo["clients"], Client, outbox, clock)
        self.codes = Documents(mongo["case_codes"], TakenCode, outbox, clock)
        self.relationships = Documents(mongo[RELATIONSHIPS], Relationship, outbox, clock)
        self._mongo = mongo
        self._clock = clock

    async def prepare(self) -> None:
        """Make what is looked for findable."""
        with unavailable():
            await self.relationships.collection.create_index([("start.clinic_id", 1), ("_id", 1)], name="clinic")

    async def admit(
        self, client_id: UUID, decide_client: Decide[Client], case_code_id: UUID, decide_case_code: Decide[TakenCode]
    ) -> Client:
        """Write a client and whose the case code is, or neither. Raises StoreUnavailable, and what they decide."""
        client: Client
        client, _ = await change_together(
            self._mongo, [(self.clients, client_id, decide_client), (self.codes, case_code_id, decide_case_code)]
        )
        return client

    async def hand_over(
        self, old_id: UUID, decide_end: Decide[Relationship], new_id: UUID, decide_start: Decide[Relationship]
    ) -> tuple[Relationship, Relationship]:
        """Write the end of one relationship and the start of the next, or neither; `leave` is decided first."""
        old, new = await change_together(
            self._mongo, [(self.relationships, old_id, decide_end), (self.relationships, new_id, decide_start)]
        )
        return old, new

    async def of_clinic(self, clinic_id: UUID, after: UUID | None, most: int) -> list[Relationship]:
        """A clinic's relationships in the order of their ids, those behind `after`. Raises StoreUnavailable."""
        after_filter = {} if after is None else {"_id": {"$gt": after}}
        with unavailable():
            documents = (
                await self.relationships.collection.find({"start.clinic_id": clinic_id, **after_filter})
                .sort("_id", 1)
                .limit(most)
                .to_list(most)
            )
        return [self.relationships.read(document) for document in documents]

    async def known(self, clinic_id: UUID, rows: Sequence[Row]) -> Known:
        """What is known of those whom `rows` name, in four round trips. Raises StoreUnavailable."""
        return Known(
            clinicians=await _found(self.clinicians, {row.clinician_id for row in rows}),
            clients=await _found(self.clients, {row.client_id for row in rows}),
            codes=await _found(self.codes, {TakenCode.id_of(clinic_id, row.case_code) for row in rows}),
            relationships=await _found(self.relationships, {row.relationship_id for row in rows}),
        )

    async def add(self, plan: Plan) -> None:
        """Write all that is planned or nothing, in one transaction of three round trips.

        Raises ChangedMeanwhile when some of it is there by now, and StoreUnavailable.
        """
        now = self._clock()
        entries_by_relationship = {
            document_id: owed(events, now) for document_id, (_, events) in plan.relationships.items()
        }
        client_documents = [_new(document_id, client) for document_id, client in plan.clients.items()]
        case_code_documents = [_new(document_id, case_code) for document_id, case_code in plan.codes.items()]
        relationship_documents = [
            {**_new(document_id, relationship), "owed": entries_by_relationship[document_id]}
            for document_id, (relationship, _) in plan.relationships.items()
        ]

        async def work(session: Session) -> None:
            for collection, new_documents in (
                (self.clients, client_documents),
                (self.codes, case_code_documents),
                (self.relationships, relationship_documents),
            ):
                if new_documents:
                    await collection.collection.insert_many(new_documents, session=session)

        try:
            await self._mongo.transaction(work)
        except BulkWriteError as error:
            if other_than_duplicates(error):
                raise
            raise ChangedMeanwhile from None
        for document_id, entries in entries_by_relationship.items():
            self.relationships.wrote(document_id, entries)


def _new(document_id: UUID, document: BaseModel) -> Document:
    """As `Documents` would write it for the first time."""
    return {"_id": document_id, **document.model_dump(), "v": 1}


async def _found(documents: Documents[Kind], ids: Collection[UUID]) -> dict[UUID, Kind]:
    with unavailable():
        found_documents = await documents.collection.find({"_id": {"$in": list(ids)}}).to_list(None)
    return {document["_id"]: documents.read(document) for document in found_documents}
