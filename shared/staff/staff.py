"""The staff of a clinic as a pure function of the events about it.

Nothing here does I/O, reads a clock or draws a random number. The order of arrival does not matter, and a repetition
changes nothing: of the events about one record, the latest counts; of two of the same moment, the one that takes
access away, otherwise the one with the greater id.

A period counts only while its person has the role for it: a person who was removed supervises and replaces nobody.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cached_property, reduce
from typing import TypeVar, assert_never
from uuid import UUID

from pydantic import ConfigDict

from shared.access.assignments import WHOLE_CLINIC, WholeClinic
from shared.events.staff import (
    AssignedRole,
    DeputiesUpdated,
    DeputyPeriod,
    LeadUpdated,
    StaffEvent,
    StaffUpdated,
    SupervisorPeriod,
    SupervisorsUpdated,
)
from shared.runtime.model import Model

RecordT = TypeVar("RecordT", StaffUpdated, DeputiesUpdated, SupervisorsUpdated)
StaffEventT = TypeVar("StaffEventT", StaffUpdated, DeputiesUpdated, SupervisorsUpdated, LeadUpdated)


class ClinicStaff(Model):
    """The staff of one clinic: the event that counts of each record, in the order of the records' ids."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    clinic_id: UUID
    people: tuple[StaffUpdated, ...] = ()
    deputies: tuple[DeputiesUpdated, ...] = ()
    """One for each clinician who has or had deputies."""
    supervisors: tuple[SupervisorsUpdated, ...] = ()
    """One for each clinician who has or had supervisors."""
    lead: LeadUpdated | None = None

    def roles_of(self, person_id: UUID) -> frozenset[AssignedRole]:
        """The roles that are assigned to a person; none to somebody who is not on the staff."""
        person = self.person(person_id)
        return frozenset(person.roles) if person else frozenset()

    def clinician_of(self, person_id: UUID) -> UUID | None:
        """The clinician that the person is."""
        person = self.person(person_id)
        return person.clinician_id if person and "clinician" in person.roles else None

    def deputized_clinicians(self, person_id: UUID, at: datetime) -> frozenset[UUID]:
        """The clinicians for whom the person, a clinician too, stands in at this time."""
        if self.clinician_of(person_id) is None:
            return frozenset()
        return frozenset(record.clinician_id for record in self.deputies if _has_period(record.deputies, at, person_id))

    def supervised_clinicians(self, person_id: UUID, at: datetime) -> frozenset[UUID] | WholeClinic:
        """The clinicians whom the person supervises at this time."""
        if "supervisor" not in self.roles_of(person_id):
            return frozenset()
        if self.lead is not None and self.lead.person_id == person_id:
            return WHOLE_CLINIC
        return frozenset(
            record.clinician_id for record in self.supervisors if _has_period(record.supervisors, at, person_id)
        )

    def has_supervisor(self, clinician_id: UUID, at: datetime) -> bool:
        """Whether somebody supervises the clinician at this time, other than as the lead of the whole clinic."""
        return any(
            "supervisor" in self.roles_of(period.person_id)
            for record in self.supervisors
            if record.clinician_id == clinician_id
            for period in record.supervisors
            if _includes(period, at)
        )

    def has_left(self, clinician_id: UUID) -> bool:
        """Whether somebody was this clinician and nobody is any more."""
        people = [person for person in self.people if person.clinician_id == clinician_id]
        return bool(people) and all(self.clinician_of(person.person_id) is None for person in people)

    def person(self, person_id: UUID) -> StaffUpdated | None:
        """The record of somebody on the staff; None also for somebody who was removed."""
        person = self._records_of_people.get(person_id)
        return person if person and not person.is_removed else None

    @cached_property
    def _records_of_people(self) -> Mapping[UUID, StaffUpdated]:
        return {person.person_id: person for person in self.people}


def fold(clinic_id: UUID, events: Iterable[StaffEvent]) -> ClinicStaff:
    """The staff of a clinic after these events about it."""
    return reduce(evolve, events, ClinicStaff(clinic_id=clinic_id))


def evolve(staff: ClinicStaff, event: StaffEvent) -> ClinicStaff:
    """Apply one event about the clinic."""
    people, deputies, supervisors, lead = staff.people, staff.deputies, staff.supervisors, staff.lead
    match event:
        case StaffUpdated():
            people = _with_latest(people, event, "person_id")
        case DeputiesUpdated():
            deputies = _with_latest(deputies, event, "clinician_id")
        case SupervisorsUpdated():
            supervisors = _with_latest(supervisors, event, "clinician_id")
        case LeadUpdated():
            lead = event if lead is None else _latest(lead, event)
        case _:
            assert_never(event)
    return ClinicStaff(clinic_id=staff.clinic_id, people=people, deputies=deputies, supervisors=supervisors, lead=lead)


def events_of(staff: ClinicStaff) -> list[StaffEvent]:
    """The events that count, one of each record; their fold is `staff`."""
    lead = [staff.lead] if staff.lead else []
    return [*staff.people, *staff.deputies, *staff.supervisors, *lead]


def _with_latest(records: tuple[RecordT, ...], event: RecordT, id_field: str) -> tuple[RecordT, ...]:
    by_id = {getattr(record, id_field): record for record in records}
    record_id = getattr(event, id_field)
    by_id[record_id] = _latest(by_id.get(record_id, event), event)
    return tuple(by_id[i] for i in sorted(by_id))


def _latest(one: StaffEventT, other: StaffEventT) -> StaffEventT:
    return max(one, other, key=lambda event: (event.occurred_at, _takes_access_away(event), event.id))


def _takes_access_away(event: StaffEvent) -> bool:
    match event:
        case StaffUpdated():
            return event.is_removed
        case DeputiesUpdated():
            return not event.deputies
        case SupervisorsUpdated():
            return not event.supervisors
        case LeadUpdated():
            return event.person_id is None
        case _:
            assert_never(event)


def _has_period(periods: Iterable[DeputyPeriod | SupervisorPeriod], at: datetime, person_id: UUID) -> bool:
    return any(period.person_id == person_id and _includes(period, at) for period in periods)


def _includes(period: DeputyPeriod | SupervisorPeriod, at: datetime) -> bool:
    return period.from_at <= at and (period.until_at is None or at < period.until_at)
