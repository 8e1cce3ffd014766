"""Who sends a request, by Attune's own record: never by what a token claims about roles, clinic or scopes."""

from dataclasses import dataclass
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.access.roles import Role, Scope


@dataclass(frozen=True)
class Person:
    """Somebody who signed in. What this person may do is decided by the roles that the clinic has assigned."""

    person_id: UUID
    clinic_id: ClinicId
    login_session_id: str
    """The key under which the login session is stored: a hash, from which no cookie can be made."""
    chosen_role: Role | None = None
    """The role in which this person chose to act, if it was chosen in this login session."""


@dataclass(frozen=True)
class Machine:
    """A clinic's own system, which may do what its scopes allow, in its clinic only."""

    machine_id: UUID
    clinic_id: ClinicId
    scopes: frozenset[Scope]


Principal = Person | Machine
