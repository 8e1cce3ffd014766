"""Documents in MongoDB that have the clinic of another document, under `clinic_id`."""

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from pymongo import UpdateMany

from shared.access.clinic_id import ClinicId
from shared.mongo.client import Collection, Document, translate_errors

UNKNOWN = {"clinic_id": None}
"""Of a document without a clinic: the field is null, or missing because an older version stored the document."""


def within(clinic: ClinicId | None, query: Document) -> Document:
    """`query`, narrowed down to the documents of one clinic; None: as it is."""
    return query if clinic is None else {**query, "clinic_id": clinic}


@dataclass(frozen=True)
class MongoClinics:
    """The clinics of one collection. Every method is idempotent and raises StoreUnavailable."""

    collection: Collection
    owner_field: str
    """The field with the id of what a document belongs to."""

    async def create_index(self) -> None:
        """Create the index of the documents without a clinic, which is empty when all have one."""
        with translate_errors():
            await self.collection.create_index(self.owner_field, name="unknown_clinic", partialFilterExpression=UNKNOWN)

    async def count_unknown(self) -> int:
        """How many documents have no clinic."""
        with translate_errors():
            return await self.collection.count_documents(self._unknown())

    async def list_unknown(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next ids of what documents without a clinic belong to, sorted; none only at the end."""
        query = self._unknown() if after is None else {**UNKNOWN, self.owner_field: {"$gt": after}}
        with translate_errors():
            found = (
                await self.collection.find(query, {self.owner_field: 1})
                .sort(self.owner_field, 1)
                .limit(limit)
                .to_list(None)
            )
        return sorted({document[self.owner_field] for document in found})

    async def fill_in(self, clinics: Mapping[UUID, ClinicId], *, has_versions: bool = True) -> None:
        """Give the documents without a clinic that of what they belong to.

        A new version makes a concurrent writer, who has read no clinic and would write that, read again.
        """
        change = {"$inc": {"v": 1}} if has_versions else {}
        updates = [
            UpdateMany({**UNKNOWN, self.owner_field: owner}, {"$set": {"clinic_id": clinic}, **change})
            for owner, clinic in clinics.items()
        ]
        if updates:
            with translate_errors():
                await self.collection.bulk_write(updates, ordered=False)

    def _unknown(self) -> Document:
        """With a condition on the indexed field, because MongoDB does not use the index otherwise."""
        return {**UNKNOWN, self.owner_field: {"$gte": UUID(int=0)}}
