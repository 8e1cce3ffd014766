"""The staging collection: documents that a rebuild has derived and not swapped in yet."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from pymongo import ReplaceOne

from shared.mongo.client import Collection, Document, translate_errors
from shared.rebuild.view import Difference, StagedDocument

_OWN_FIELDS = frozenset({"_id", "share", "differs", "losses"})
"""The document's id, its task, how it differs from the view, and what it loses, under their stored names."""


class StagingCollection:
    """One document for each that differs from the view. Every method is idempotent and raises StoreUnavailable."""

    def __init__(self, collection: Collection) -> None:
        self._collection = collection

    async def create_indexes(self) -> None:
        """Create the index on the task."""
        with translate_errors():
            await self._collection.create_index("share", name="share")

    async def save(self, task_id: str, documents: Sequence[StagedDocument]) -> None:
        """Stage documents of a task, over those that were staged before."""
        if documents:
            writes = [
                ReplaceOne({"_id": document.id}, _to_stored(task_id, document), upsert=True) for document in documents
            ]
            with translate_errors():
                await self._collection.bulk_write(writes, ordered=False)

    async def load(self, task_id: str, limit: int) -> list[StagedDocument]:
        """Some of the staged documents of a task."""
        with translate_errors():
            found = await self._collection.find({"share": task_id}).to_list(limit)
        return [_from_stored(stored) for stored in found]

    async def list_losses(self) -> list[tuple[UUID, str]]:
        """What would be lost, and from which document."""
        with translate_errors():
            found = (
                await self._collection.find({"losses.0": {"$exists": True}}, {"losses": 1}).sort("_id").to_list(None)
            )
        return [(document["_id"], loss) for document in found for loss in document["losses"]]

    async def delete(self, ids: Iterable[UUID]) -> None:
        """Delete documents that are swapped in, with their events published."""
        with translate_errors():
            await self._collection.delete_many({"_id": {"$in": list(ids)}})

    async def clear(self) -> None:
        """Delete everything that is staged."""
        with translate_errors():
            await self._collection.delete_many({})


def _to_stored(task_id: str, document: StagedDocument) -> Document:
    return {
        "_id": document.id,
        "share": task_id,
        "differs": list(document.difference.names),
        "losses": list(document.losses),
        **document.fields,
    }


def _from_stored(stored: Document) -> StagedDocument:
    fields = {name: value for name, value in stored.items() if name not in _OWN_FIELDS}
    difference = Difference(stored["_id"], tuple(stored["differs"]))
    return StagedDocument(difference, fields, tuple(stored.get("losses", ())))
