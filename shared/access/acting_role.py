"""In which role a person makes a request, as a pure function of the roles held and the row.

A request has one acting role. The person may name it in the request, or choose one for the login session; else it is
the first, in the order of `Role`, that the person holds and that the row has. The roles of care are about different
people, never about different powers of one person over the same, so that a link to the inbox of a colleague works
without a choice: of these three, the first that reaches the target acts.
"""

from collections.abc import Collection
from datetime import datetime
from typing import get_args
from uuid import UUID

from shared.access.assignments import Assignments
from shared.access.roles import Role
from shared.access.table.row import Row

ROLE_HEADER = "Attune-Role"
"""The header in which a request names its role."""
ROLES: tuple[Role, ...] = get_args(Role)
CARE_ROLES = frozenset[Role]({"clinician", "deputy", "supervisor"})


def held_roles(person_id: UUID, assignments: Assignments, now: datetime) -> frozenset[Role]:
    """The roles in which a person may act now: those assigned, and that of a deputy in the agreed time.

    A person who is no longer a clinician deputizes for no other.
    """
    assigned = assignments.roles_of(person_id) - {"deputy"}
    if "clinician" in assigned and assignments.deputized_clinicians(person_id, now):
        return assigned | {"deputy"}
    return assigned


def candidate_roles(row: Row, held: Collection[Role], named: str | None, chosen: Role | None) -> tuple[Role, ...]:
    """The roles in which a request may act, the preferred one first; none if no role allows the operation.

    A role that the request names counts alone: it is not replaced by another in silence.
    """
    possible = [role for role in ROLES if role in held and role in row.reach_by_role]
    if named is not None:
        return tuple(role for role in possible if role == named)
    if not possible:
        return ()
    first = chosen if chosen in possible else possible[0]
    others = [role for role in possible if role != first and {role, first} <= CARE_ROLES]
    return (first, *others)
