"""The clinics, which follow from the latest event about each. They are corrected without staging."""

from collections.abc import Mapping
from functools import reduce
from uuid import UUID

from pydantic import ValidationError

from services.sessions.domain.clinic import Clinic, evolve
from services.sessions.store.mongo import CLINICS
from shared.events import ClinicUpdated
from shared.mongo.client import Document, GuardedWrite, Mongo, translate_errors, write_guarded
from shared.rebuild.history import History
from shared.rebuild.projection import remove_invalid_versions, version_of
from shared.rebuild.view import MISSING, UNREADABLE, Difference, list_values


class Clinics:
    """The stored clinics. Every method is idempotent and raises StoreUnavailable."""

    def __init__(self, mongo: Mongo) -> None:
        self._clinics = mongo[CLINICS]

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        """The ids of the next stored clinics, sorted."""
        return await list_values(self._clinics, "_id", after, limit)

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        """The clinics that are not stored as the latest event says, nor as a later one."""
        expected = _fold(histories)
        stored = await self._load(expected)
        compared = {id: _compare(clinic, stored.get(id)) for id, clinic in expected.items()}
        return [Difference(id, tuple(names)) for id, names in compared.items() if names]

    async def correct(self, histories: Mapping[UUID, History]) -> int:
        """Store what the latest event says, unless the service has stored a later one; return how many."""
        expected, corrected = _fold(histories), set[UUID]()
        while expected:
            stored = await self._load(expected)
            wrong = {id: clinic for id, clinic in expected.items() if _compare(clinic, stored.get(id))}
            await remove_invalid_versions(self._clinics, list(wrong))
            writes = [GuardedWrite(id, version_of(stored.get(id)), clinic.model_dump()) for id, clinic in wrong.items()]
            conflicts = await write_guarded(self._clinics, writes)
            corrected |= wrong.keys()
            expected = {id: expected[id] for id in conflicts}
        return len(corrected)

    async def _load(self, ids: Mapping[UUID, Clinic]) -> dict[UUID, Document]:
        if not ids:
            return {}
        with translate_errors():
            found = await self._clinics.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {document["_id"]: document for document in found}


def _fold(histories: Mapping[UUID, History]) -> dict[UUID, Clinic]:
    folded: dict[UUID, Clinic] = {}
    for id, history in histories.items():
        clinic = reduce(evolve, (r.event for r in history if isinstance(r.event, ClinicUpdated)), None)
        if clinic is not None:
            folded[id] = clinic
    return folded


def _compare(expected: Clinic, document: Document | None) -> list[str]:
    if document is None:
        return [MISSING]
    try:
        stored = Clinic.model_validate(document)
    except ValidationError:
        return [UNREADABLE]
    if not version_of(document):
        return ["version"]
    if stored.is_newer_than(expected):
        return []
    return [name for name in Clinic.model_fields if getattr(stored, name) != getattr(expected, name)]
