"""The stored view of the staff in `rebuild` and `verify` of a service. It is corrected without staging.

What is stored but not on the topics is reported and left alone, as in every view.
"""

from collections.abc import Collection, Mapping
from typing import assert_never
from uuid import UUID

from pydantic import ValidationError

from shared.events import (
    STAFF_EVENTS,
    DeputiesUpdated,
    LeadUpdated,
    RelationshipEvent,
    StaffEvent,
    StaffUpdated,
    SupervisorsUpdated,
)
from shared.mongo.client import Document, GuardedWrite, Mongo, translate_errors, write_guarded
from shared.rebuild.history import History, SliceReader
from shared.rebuild.projection import remove_invalid_versions, version_of
from shared.rebuild.view import MISSING, NOT_ON_TOPICS, UNREADABLE, Difference, list_values
from shared.staff.staff import ClinicStaff, events_of, fold
from shared.staff.store import STAFF

STAFF_CORRECTED = "clinics' staff corrected"

_FIELDS: Mapping[type[StaffEvent], str] = {
    StaffUpdated: "people",
    DeputiesUpdated: "deputies",
    SupervisorsUpdated: "supervisors",
    LeadUpdated: "lead",
}
"""Where the records of each type are."""


class StaffDocuments:
    """The stored staff of each clinic. Every method is idempotent and raises StoreUnavailable."""

    def __init__(self, mongo: Mongo) -> None:
        self._staff = mongo[STAFF]

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next clinics whose staff is stored, sorted."""
        return await list_values(self._staff, "_id", after, limit)

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        """The clinics whose staff is not stored as the events say."""
        expected = _fold(histories)
        stored = await self._load(expected)
        names = {
            i: [*_compare(staff, stored.get(i)), *_list_unexpected(staff, stored.get(i))]
            for i, staff in expected.items()
        }
        return [Difference(i, tuple(names[i])) for i in names if names[i]]

    async def correct(self, slice_reader: SliceReader, page: Mapping[UUID, History]) -> int:
        """Store what the events say; return of how many clinics. Raises BrokerUnavailable.

        `page` are histories of `slice_reader`, which grow as it reads.
        """
        corrected = set[UUID]()
        pending: Collection[UUID] = [i for i, staff in _fold(page).items() if events_of(staff)]
        while pending:
            stored = await self._load(pending)
            await slice_reader.read_newer()  # after the documents: whatever these contain has been read by now
            expected = _fold({i: page[i] for i in pending})
            wrong = [i for i in pending if _compare(expected[i], stored.get(i))]
            await remove_invalid_versions(self._staff, wrong)
            pending = await write_guarded(self._staff, [_correction(expected[i], stored.get(i)) for i in wrong])
            corrected.update(wrong)
        return len(corrected)

    async def _load(self, ids: Collection[UUID]) -> dict[UUID, Document]:
        if not ids:
            return {}
        with translate_errors():
            found = await self._staff.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {document["_id"]: document for document in found}


def _fold(histories: Mapping[UUID, History]) -> dict[UUID, ClinicStaff]:
    """The staff by clinic; empty also for what is no clinic, such as a clinician, but is no relationship either."""
    events = {i: [recorded.event for recorded in history] for i, history in histories.items()}
    return {
        i: fold(i, [event for event in events[i] if isinstance(event, STAFF_EVENTS)])
        for i in events
        if not any(isinstance(event, RelationshipEvent) for event in events[i])
    }


def _compare(expected: ClinicStaff, document: Document | None) -> list[str]:
    """The names of what differs, and what `correct` corrects."""
    if document is None:
        return [MISSING] if events_of(expected) else []
    stored = _parse(document)
    if stored is None:
        return [UNREADABLE]
    stored_records = _by_record(stored)
    different = {_FIELDS[key[0]] for key, event in _by_record(expected).items() if stored_records.get(key) != event}
    return sorted(different) if version_of(document) else [*sorted(different), "version"]


def _list_unexpected(expected: ClinicStaff, document: Document | None) -> list[str]:
    return sorted({f"{_FIELDS[type(event)]} {NOT_ON_TOPICS}" for event in _find_unexpected(expected, document)})


def _find_unexpected(expected: ClinicStaff, document: Document | None) -> list[StaffEvent]:
    stored, expected_records = _parse(document), _by_record(expected)
    return [event for key, event in _by_record(stored).items() if key not in expected_records] if stored else []


def _correction(expected: ClinicStaff, document: Document | None) -> GuardedWrite:
    corrected = fold(expected.clinic_id, [*events_of(expected), *_find_unexpected(expected, document)])
    return GuardedWrite(expected.clinic_id, version_of(document), corrected.model_dump())


def _by_record(staff: ClinicStaff) -> dict[tuple[type[StaffEvent], UUID | None], StaffEvent]:
    return {(type(event), _record_id(event)): event for event in events_of(staff)}


def _record_id(event: StaffEvent) -> UUID | None:
    match event:
        case StaffUpdated():
            return event.person_id
        case DeputiesUpdated() | SupervisorsUpdated():
            return event.clinician_id
        case LeadUpdated():
            return None
        case _:
            assert_never(event)


def _parse(document: Document | None) -> ClinicStaff | None:
    try:
        return None if document is None else ClinicStaff.model_validate(document)
    except ValidationError:
        return None
