"""The clinics and time zones of clinicians, from the latest event about each. They are corrected without staging."""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from shared.events import ClinicianRegistered, ClinicianUpdated
from shared.mongo.client import Document, Mongo, translate_errors
from shared.rebuild.history import History
from shared.rebuild.view import Difference, list_values

ClinicianChange = ClinicianRegistered | ClinicianUpdated


class Clinicians:
    """The stored clinicians. Every method is idempotent and raises StoreUnavailable."""

    def __init__(self, mongo: Mongo) -> None:
        self._clinicians = mongo["clinicians"]

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next clinicians, sorted."""
        return await list_values(self._clinicians, "_id", after, limit)

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        """The clinicians that are not stored as the latest event says, nor as a later one."""
        return [Difference(latest.clinician_id, ("clinician",)) for latest, _ in await self._find_wrong(histories)]

    async def correct(self, histories: Mapping[UUID, History]) -> int:
        """Store what the latest event says, unless the service has just stored a later one; return how many."""
        wrong = await self._find_wrong(histories)
        for latest, stored in wrong:
            guard: Document = {"_id": latest.clinician_id}
            if stored is not None:
                guard["told_at"] = stored.get("told_at")
            with translate_errors():
                await self._clinicians.update_one(guard, {"$set": _fields(latest)}, upsert=stored is None)
        return len(wrong)

    async def _find_wrong(self, histories: Mapping[UUID, History]) -> list[tuple[ClinicianChange, Document | None]]:
        changes = [latest for history in histories.values() if (latest := _find_latest(history))]
        if not changes:
            return []
        with translate_errors():
            found = await self._clinicians.find({"_id": {"$in": [c.clinician_id for c in changes]}}).to_list(None)
        stored = {document["_id"]: document for document in found}
        pairs = [(latest, stored.get(latest.clinician_id)) for latest in changes]
        return [(latest, document) for latest, document in pairs if _differs(latest, document)]


def _find_latest(history: History) -> ClinicianChange | None:
    changes = [each.event for each in history if isinstance(each.event, ClinicianRegistered | ClinicianUpdated)]
    return max(changes, key=lambda change: change.occurred_at, default=None)


def _fields(latest: ClinicianChange) -> Document:
    """As the service stores them."""
    return {"clinic_id": latest.clinic_id, "time_zone": latest.time_zone, "told_at": latest.occurred_at}


def _differs(latest: ClinicianChange, stored: Mapping[str, Any] | None) -> bool:
    if stored is None:
        return True
    if all(stored.get(name) == value for name, value in _fields(latest).items()):
        return False
    try:
        return not stored["told_at"] > latest.occurred_at
    except (KeyError, TypeError):
        return True
