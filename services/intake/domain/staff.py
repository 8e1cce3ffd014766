"""The decisions about who works at a clinic, in which roles, and who replaces and supervises whom.

They are pure. Each takes the staff and a request, and returns the staff afterwards and the new events, or raises
Rejected. A repeated request changes nothing and gives no events.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, get_args
from uuid import UUID, uuid5

from shared.errors import Invalid, NotFound, Rejected
from shared.events import (
    AssignedRole,
    DeputiesUpdated,
    DeputyPeriod,
    LeadUpdated,
    StaffEvent,
    StaffUpdated,
    SupervisorPeriod,
    SupervisorsUpdated,
)
from shared.staff.staff import ClinicStaff, evolve

ONE_MILLISECOND = timedelta(milliseconds=1)
MAX_PEOPLE = 2_000
"""Of one clinic, with those who were removed: they are in one document, which each change writes anew."""
MAX_PERIODS = 20
"""Of one clinician's deputies or supervisors."""

EventT = TypeVar("EventT", StaffUpdated, DeputiesUpdated, SupervisorsUpdated, LeadUpdated)
Period = DeputyPeriod | SupervisorPeriod
PeriodT = TypeVar("PeriodT", DeputyPeriod, SupervisorPeriod)
Decision = tuple[ClinicStaff, Sequence[StaffEvent]]


@dataclass(frozen=True)
class Assignment:
    """The roles that a person is to have, and the clinician that the person is."""

    person_id: UUID
    roles: tuple[AssignedRole, ...]
    clinician_id: UUID | None


def save_person(staff: ClinicStaff, requested: Assignment, accepted: Collection[UUID], now: datetime) -> Decision:
    """Add a person, or change the roles. `accepted` are the people who can sign in."""
    _check_clinician(staff, requested)
    if "administrator" not in requested.roles:
        _reject_loss_of_last_administrator(staff, requested.person_id, accepted)
    before = _record_of_person(staff, requested.person_id)
    if before is None and len(staff.people) >= MAX_PEOPLE:
        raise Rejected("too-many-people", f"A clinic has at most {MAX_PEOPLE} people, with those who were removed.")
    roles = tuple(role for role in get_args(AssignedRole) if role in requested.roles)
    fields = {"person_id": requested.person_id, "roles": roles, "clinician_id": requested.clinician_id}
    return _change(staff, before, StaffUpdated, f"person {requested.person_id}", now, {**fields, "is_removed": False})


def remove_person(staff: ClinicStaff, person_id: UUID, accepted: Collection[UUID], now: datetime) -> Decision:
    """Remove a person, who loses all roles. The record still says which clinician the person was."""
    before = _record_of_person(staff, person_id)
    if before is None:
        raise _unknown_person(staff, person_id)
    _reject_loss_of_last_administrator(staff, person_id, accepted)
    fields = {"person_id": person_id, "roles": (), "clinician_id": before.clinician_id, "is_removed": True}
    return _change(staff, before, StaffUpdated, f"person {person_id}", now, fields)


def save_deputies(
    staff: ClinicStaff, clinician_id: UUID, deputies: Collection[DeputyPeriod], now: datetime
) -> Decision:
    """Replace the deputies of a clinician, who are clinicians themselves."""
    for period in deputies:
        _check_period(staff, period, clinician_id)
        if staff.clinician_of(period.person_id) is None:
            raise Rejected("deputy-no-clinician", f"Person {period.person_id} is no clinician, so cannot be a deputy.")
    before = next((record for record in staff.deputies if record.clinician_id == clinician_id), None)
    fields = {"clinician_id": clinician_id, "deputies": _in_order(deputies)}
    return _change(staff, before, DeputiesUpdated, f"deputies {clinician_id}", now, fields)


def save_supervisors(
    staff: ClinicStaff, clinician_id: UUID, supervisors: Collection[SupervisorPeriod], now: datetime
) -> Decision:
    """Replace the supervisors of a clinician."""
    for period in supervisors:
        _check_period(staff, period, clinician_id)
        _require_supervisor(staff, period.person_id)
    before = next((record for record in staff.supervisors if record.clinician_id == clinician_id), None)
    fields = {"clinician_id": clinician_id, "supervisors": _in_order(supervisors)}
    return _change(staff, before, SupervisorsUpdated, f"supervisors {clinician_id}", now, fields)


def save_lead(staff: ClinicStaff, person_id: UUID | None, now: datetime) -> Decision:
    """Make a supervisor the lead, in place of the lead before; None if the clinic has no lead."""
    if person_id is not None:
        require_person(staff, person_id)
        _require_supervisor(staff, person_id)
    if person_id is None and staff.lead is None:
        return staff, ()
    return _change(staff, staff.lead, LeadUpdated, "lead", now, {"person_id": person_id})


def list_administrators(staff: ClinicStaff) -> list[UUID]:
    """The people who are administrators now, in the order of their ids."""
    return [person.person_id for person in staff.people if "administrator" in staff.roles_of(person.person_id)]


def _change(
    staff: ClinicStaff, before: EventT | None, event_type: type[EventT], name: str, now: datetime, fields: Any
) -> Decision:
    """The staff with a new record, unless it says what the one before says."""
    if before is not None and all(getattr(before, field) == value for field, value in fields.items()):
        return staff, ()
    event = event_type(
        id=uuid5(staff.clinic_id, name) if before is None else before.derive_id("next"),
        clinic_id=staff.clinic_id,
        occurred_at=now if before is None else max(now, before.occurred_at + ONE_MILLISECOND),
        **fields,
    )
    return evolve(staff, event), (event,)


def _record_of_person(staff: ClinicStaff, person_id: UUID) -> StaffUpdated | None:
    return next((person for person in staff.people if person.person_id == person_id), None)


def _check_clinician(staff: ClinicStaff, requested: Assignment) -> None:
    if "clinician" in requested.roles and requested.clinician_id is None:
        raise Invalid("clinician-missing", "A person in the role clinician needs a clinician_id.")
    others = [person for person in staff.people if person.person_id != requested.person_id]
    taken = {staff.clinician_of(person.person_id) for person in others}
    if "clinician" in requested.roles and requested.clinician_id in taken:
        raise Rejected("clinician-taken", f"Clinician {requested.clinician_id} is another person of the staff.")


def _reject_loss_of_last_administrator(staff: ClinicStaff, person_id: UUID, accepted: Collection[UUID]) -> None:
    """An administrator who can sign in is replaced only by another one who can."""
    administrators = list_administrators(staff)
    if person_id not in administrators:
        return
    others = [other for other in administrators if other != person_id]
    if person_id in accepted:
        others = [other for other in others if other in accepted]
    if not others:
        raise Rejected(
            "last-administrator",
            f"Person {person_id} is the last administrator who can sign in. Invite another one first; when the "
            "invitation is accepted, send this request again.",
        )


def _check_period(staff: ClinicStaff, period: Period, clinician_id: UUID) -> None:
    require_person(staff, period.person_id)
    if period.until_at is not None and period.until_at <= period.from_at:
        raise Invalid("period-without-duration", "A period must end after it begins: until_at is not after from_at.")
    if staff.clinician_of(period.person_id) == clinician_id:
        raise Rejected("own-deputy-or-supervisor", f"Person {period.person_id} is clinician {clinician_id}.")


def require_person(staff: ClinicStaff, person_id: UUID) -> None:
    """Raises NotFound for somebody who is not on the staff."""
    if staff.person(person_id) is None:
        raise _unknown_person(staff, person_id)


def _require_supervisor(staff: ClinicStaff, person_id: UUID) -> None:
    if "supervisor" not in staff.roles_of(person_id):
        raise Rejected("no-supervisor", f"Person {person_id} is not in the role supervisor. Assign the role first.")


def _unknown_person(staff: ClinicStaff, person_id: UUID) -> NotFound:
    return NotFound(
        "unknown-person",
        f"Person {person_id} is not on the staff of this clinic. Check the id, or add the person first: "
        f"PUT /clinics/{staff.clinic_id}/people/{person_id}.",
    )


def _in_order(periods: Collection[PeriodT]) -> tuple[PeriodT, ...]:
    return tuple(sorted(set(periods), key=lambda period: (period.from_at, period.person_id, str(period.until_at))))
