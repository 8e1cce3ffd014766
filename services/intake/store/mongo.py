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

    async def admit(self, client_id: UUID, admit: Decide[Client], code_id: UUID, take: Decide[TakenCode]) -> Client:
        """Write a client and whose the case code is, or neither. Raises StoreUnavailable, and what they decide."""
        client: Client
        client, _ = await change_together(self._mongo, [(self.clients, client_id, admit), (self.codes, code_id, take)])
        return client

    async def hand_over(
        self, old_id: UUID, leave: Decide[Relationship], new_id: UUID, follow: Decide[Relationship]
    ) -> tuple[Relationship, Relationship]:
        """Write the end of one relationship and the start of the next, or neither; `leave` is decided first."""
        old, new = await change_together(
            self._mongo, [(self.relationships, old_id, leave), (self.relationships, new_id, follow)]
        )
        return old, new

    async def of_clinic(self, clinic_id: UUID, after: UUID | None, most: int) -> list[Relationship]:
        """A clinic's relationships in the order of their ids, those behind `after`. Raises StoreUnavailable."""
        behind = {} if after is None else {"_id": {"$gt": after}}
        with unavailable():
            found = (
                await self.relationships.collection.find({"start.clinic_id": clinic_id, **behind})
                .sort("_id", 1)
                .limit(most)
                .to_list(most)
            )
        return [self.relationships.read(one) for one in found]

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
        debts = {which: owed(events, now) for which, (_, events) in plan.relationships.items()}
        clients = [_new(which, client) for which, client in plan.clients.items()]
        codes = [_new(which, code) for which, code in plan.codes.items()]
        relationships = [
            {**_new(which, relationship), "owed": debts[which]}
            for which, (relationship, _) in plan.relationships.items()
        ]

        async def work(session: Session) -> None:
            for documents, new in ((self.clients, clients), (self.codes, codes), (self.relationships, relationships)):
                if new:
                    await documents.collection.insert_many(new, session=session)

        try:
            await self._mongo.transaction(work)
        except BulkWriteError as error:
            if other_than_duplicates(error):
                raise
            raise ChangedMeanwhile from None
        for which, owing in debts.items():
            self.relationships.wrote(which, owing)


def _new(document_id: UUID, document: BaseModel) -> Document:
    """As `Documents` would write it for the first time."""
    return {"_id": document_id, **document.model_dump(), "v": 1}


async def _found(documents: Documents[Kind], ids: Collection[UUID]) -> dict[UUID, Kind]:
    with unavailable():
        found = await documents.collection.find({"_id": {"$in": list(ids)}}).to_list(None)
    return {one["_id"]: documents.read(one) for one in found}
