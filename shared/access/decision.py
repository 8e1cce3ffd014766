"""Whether a request may do something with a target, as a pure function of the table and the clinic's assignments.

Nothing here does I/O or reads a clock. What the table does not allow is refused. A refusal is `forbidden` if no target
would be allowed, which says nothing about any target; else it is `hidden`, and the answer is that to an unknown id.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, assert_never
from uuid import UUID

from shared.access.acting_role import held_roles
from shared.access.assignments import WHOLE_CLINIC, Assignments, Clinicians
from shared.access.roles import Role
from shared.access.table.row import Reach, Row
from shared.access.target import Target
from shared.identity.principal import Machine, Person, Principal

TIME_AFTER_END = timedelta(days=30)
"""Enough for a clinician to finish the records of a relationship."""

Decision = Literal["allowed", "hidden", "forbidden"]


@dataclass(frozen=True)
class TargetFilter:
    """Which targets of the clinic a request reaches; what a list is filtered by."""

    clinicians: Clinicians = WHOLE_CLINIC
    ended_since: datetime | None = None
    """Relationships that ended before are out of reach; None if all are in reach."""
    person_id: UUID | None = None
    """The only person whose record is in reach; None for a reach that is not about persons."""

    def contains(self, target: Target) -> bool:
        """Whether a target of the same clinic is in reach."""
        return self._contains_owner(target) and (
            self.ended_since is None or target.ended_at is None or target.ended_at >= self.ended_since
        )

    def _contains_owner(self, target: Target) -> bool:
        if self.person_id is not None and target.person_id is not None:
            return target.person_id == self.person_id
        return not isinstance(self.clinicians, frozenset) or target.clinician_id in self.clinicians


WHOLE_CLINIC_FILTER = TargetFilter()
NOTHING = TargetFilter(frozenset())


def decide(
    row: Row,
    principal: Principal,
    acting_role: Role | None,
    assignments: Assignments,
    target: Target,
    now: datetime,
) -> Decision:
    """Whether the principal may do what the row describes with this target, in this role.

    A machine has no role; `assignments` are those of the principal's clinic.
    """
    if not has_cell(row, principal, acting_role, assignments, now):
        return "forbidden"
    if target.clinic_id != principal.clinic_id:
        return "hidden"
    if not reached_targets(row, principal, acting_role, assignments, now).contains(target):
        return "hidden"
    needs_escalation = acting_role is not None and row.reach_by_role.get(acting_role) == "escalated"
    return "hidden" if needs_escalation and not _is_escalated(target, assignments) else "allowed"


def has_cell(row: Row, principal: Principal, acting_role: Role | None, assignments: Assignments, now: datetime) -> bool:
    """Whether the principal may do what the row describes with any target at all."""
    match principal:
        case Machine():
            return row.scope is not None and row.scope in principal.scopes
        case Person():
            return acting_role in row.reach_by_role and acting_role in held_roles(principal.person_id, assignments, now)
        case _:
            assert_never(principal)


def reached_targets(
    row: Row, principal: Principal, acting_role: Role | None, assignments: Assignments, now: datetime
) -> TargetFilter:
    """Which targets of the principal's clinic are in reach; none without a cell for the role."""
    if isinstance(principal, Machine):
        return WHOLE_CLINIC_FILTER
    reach = row.reach_by_role.get(acting_role) if acting_role else None
    return NOTHING if reach is None else _filter_of(reach, principal.person_id, assignments, now)


def _is_escalated(target: Target, assignments: Assignments) -> bool:
    return target.is_escalated or (target.clinician_id is not None and assignments.has_left(target.clinician_id))


def _filter_of(reach: Reach, person_id: UUID, assignments: Assignments, now: datetime) -> TargetFilter:
    match reach:
        case "clinic":
            return WHOLE_CLINIC_FILTER
        case "own":
            return TargetFilter(_own_clinician(person_id, assignments), ended_since=now - TIME_AFTER_END)
        case "deputized":
            clinicians = assignments.deputized_clinicians(person_id, now)
            return TargetFilter(clinicians, ended_since=now - TIME_AFTER_END)
        case "supervised" | "escalated":
            return TargetFilter(assignments.supervised_clinicians(person_id, now))
        case "self":
            return TargetFilter(_own_clinician(person_id, assignments), person_id=person_id)
        case _:
            assert_never(reach)


def _own_clinician(person_id: UUID, assignments: Assignments) -> frozenset[UUID]:
    clinician_id = assignments.clinician_of(person_id)
    return frozenset() if clinician_id is None else frozenset({clinician_id})
