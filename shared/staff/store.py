"""Where a service keeps its view of the staff: one document per clinic, in MongoDB, or in memory for tests."""

from collections.abc import Collection, Sequence
from typing import Protocol
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.mongo.client import GuardedWrite, Mongo, translate_errors, write_guarded
from shared.outbox.documents import Versioned
from shared.staff.staff import ClinicStaff

STAFF = "staff"
"""The collection."""


class StaffSource(Protocol):
    """What requests are authorized with."""

    async def find(self, clinic: ClinicId) -> ClinicStaff:
        """The staff of a clinic; empty if nothing is known. Raises StoreUnavailable."""


class StaffStore(StaffSource, Protocol):
    """Stores the staff of each clinic. Every method raises StoreUnavailable; repeating it is safe."""

    async def load(self, clinic_ids: Collection[UUID]) -> dict[UUID, Versioned[ClinicStaff]]:
        """The staff of each clinic; empty and at version 0 where nothing is known."""

    async def save(self, changed: Sequence[Versioned[ClinicStaff]]) -> set[UUID]:
        """Write each, guarded by its version; return the clinics whose staff was changed concurrently."""


class InMemoryStaffStore:
    """A store in memory, with the same promises as the one in MongoDB; for tests."""

    def __init__(self) -> None:
        self._stored: dict[UUID, Versioned[ClinicStaff]] = {}

    async def find(self, clinic: ClinicId) -> ClinicStaff:
        return (await self.load([clinic]))[clinic].value

    async def load(self, clinic_ids: Collection[UUID]) -> dict[UUID, Versioned[ClinicStaff]]:
        return {i: self._stored.get(i) or Versioned(i, ClinicStaff(clinic_id=i)) for i in clinic_ids}

    async def save(self, changed: Sequence[Versioned[ClinicStaff]]) -> set[UUID]:
        stored_versions = {i: stored.version for i, stored in self._stored.items()}
        conflicts = {staff.id for staff in changed if staff.version != stored_versions.get(staff.id, 0)}
        self._stored |= {
            staff.id: Versioned(staff.id, staff.value, staff.version + 1)
            for staff in changed
            if staff.id not in conflicts
        }
        return conflicts


class MongoStaffStore:
    """A store in MongoDB. The documents are found by their ids, so there are no indexes."""

    def __init__(self, mongo: Mongo) -> None:
        self._staff = mongo[STAFF]

    async def find(self, clinic: ClinicId) -> ClinicStaff:
        return (await self.load([clinic]))[clinic].value

    async def load(self, clinic_ids: Collection[UUID]) -> dict[UUID, Versioned[ClinicStaff]]:
        with translate_errors():
            found = await self._staff.find({"_id": {"$in": list(clinic_ids)}}).to_list(None)
        stored = {
            document["_id"]: Versioned(document["_id"], ClinicStaff.model_validate(document), document["v"])
            for document in found
        }
        return {i: stored.get(i) or Versioned(i, ClinicStaff(clinic_id=i)) for i in clinic_ids}

    async def save(self, changed: Sequence[Versioned[ClinicStaff]]) -> set[UUID]:
        writes = [GuardedWrite(staff.id, staff.version, staff.value.model_dump()) for staff in changed]
        return await write_guarded(self._staff, writes)
