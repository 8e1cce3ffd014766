"""What one request may do: who sends it, for which operation, in which role, and each check of a target."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.access.acting_role import candidate_roles, held_roles
from shared.access.assignments import Assignments
from shared.access.clinic_id import ClinicId
from shared.access.decision import Decision, TargetFilter, decide, has_cell, reached_targets
from shared.access.roles import Role
from shared.access.table import Row
from shared.access.target import Target
from shared.errors import Forbidden, NotFound
from shared.identity.principal import Machine, Principal


@dataclass(frozen=True)
class Requester:
    """Who sends a request, and what decides about it."""

    principal: Principal
    assignments: Assignments
    """Those of the principal's clinic."""
    named_role: str | None
    """The role that the request names."""
    now: datetime


Identify = Callable[[], Awaitable[Requester]]
"""Finds out who sends a request. Raises Unauthenticated and Transient."""


@dataclass(frozen=True)
class Check:
    """One decision about a request, for the audit."""

    operation: str
    acting_role: Role | None
    """None for a machine, and if no role may do the operation."""
    target: Target | None
    """None if the operation was refused, whatever it is about."""
    decision: Decision


class Grant:
    """What one request may do, in one role.

    A route with several operations names the one that is meant, before anything is looked up. What is looked up is
    confined to `clinic_id`, and then checked as a target, before it is shown or changed.
    """

    def __init__(self, rows: Sequence[Row], identify: Identify) -> None:
        self._rows = {row.operation: row for row in rows}
        self._identify = identify
        self._requester: Requester | None = None
        self._row = rows[0] if len(rows) == 1 else None
        self._roles: tuple[Role | None, ...] = ()
        self.checks: list[Check] = []

    @property
    def principal(self) -> Principal | None:
        """Who sends the request; None as long as a public operation does not need to know."""
        return self._requester.principal if self._requester else None

    @property
    def clinic_id(self) -> ClinicId:
        """The only clinic that the request may look into."""
        return self._identified.principal.clinic_id

    @property
    def row(self) -> Row:
        """The row of the operation."""
        if self._row is None:
            raise LookupError(f"call begin() with one of {', '.join(self._rows)}")
        return self._row

    @property
    def acting_role(self) -> Role | None:
        """The role in which the request acts; None for a machine. It is certain after the first check."""
        return self._roles[0] if self._roles else None

    @property
    def is_reduced(self) -> bool:
        """Whether the view shows less to the acting role."""
        return self.acting_role in self.row.reduced_roles

    async def identify(self) -> None:
        """Find out who sends the request.

        Raises Unauthenticated, Transient, and Forbidden if none of the operations is allowed.
        """
        self._requester = await self._identify()
        if self._row is not None:
            self._begin(self._row)
        elif not any(self._roles_in(row) for row in self._rows.values()):
            self._forbid(", ".join(self._rows))

    async def begin(self, operation: str) -> None:
        """Name the operation of a route that has several. Raises as `identify` does."""
        self._row = self._rows[operation]
        if self._requester is not None:
            self._begin(self._row)
        elif not self._row.is_public:
            await self.identify()

    async def require(self, target: Target, unknown: NotFound) -> None:
        """Raise `unknown`, the error for an id that does not exist, unless the request may do this with the target."""
        decision = self._decide(target)
        self.checks.append(Check(self.row.operation, self.acting_role, target, decision))
        if decision != "allowed":
            raise unknown

    async def require_clinic(self, clinic_id: UUID, unknown: NotFound) -> None:
        """Raise `unknown` unless a list of this clinic may be shown, filtered by `reach`."""
        is_own = clinic_id == self.clinic_id
        target = Target(ClinicId(clinic_id))
        self.checks.append(Check(self.row.operation, self.acting_role, target, "allowed" if is_own else "hidden"))
        if not is_own:
            raise unknown

    def allows(self, target: Target, operation: str | None = None) -> bool:
        """Whether the acting role may also do this, or another operation of the route, with a further target."""
        row = self._rows[operation] if operation else self.row
        requester = self._identified
        decision = decide(row, requester.principal, self.acting_role, requester.assignments, target, requester.now)
        if decision == "allowed":
            self.checks.append(Check(row.operation, self.acting_role, target, decision))
        return decision == "allowed"

    def reach(self) -> TargetFilter:
        """What a list of the request's clinic is filtered by."""
        self._roles = self._roles[:1]
        requester = self._identified
        return reached_targets(self.row, requester.principal, self.acting_role, requester.assignments, requester.now)

    @property
    def _identified(self) -> Requester:
        if self._requester is None:
            raise LookupError("a public operation does not know who sends the request: call begin() with another")
        return self._requester

    def _begin(self, row: Row) -> None:
        self._roles = self._roles_in(row)
        if not self._roles:
            self._forbid(row.operation)

    def _roles_in(self, row: Row) -> tuple[Role | None, ...]:
        """The roles in which the request may do an operation, the preferred one first; `None` stands for a machine."""
        principal, assignments, now = self._identified.principal, self._identified.assignments, self._identified.now
        if isinstance(principal, Machine):
            return (None,) if has_cell(row, principal, None, assignments, now) else ()
        held = held_roles(principal.person_id, assignments, now)
        return candidate_roles(row, held, self._identified.named_role, principal.chosen_role)

    def _decide(self, target: Target) -> Decision:
        """The decision in the first role that allows it, which then acts for the rest of the request."""
        row, requester = self.row, self._identified
        for role in self._roles:
            if decide(row, requester.principal, role, requester.assignments, target, requester.now) == "allowed":
                self._roles = (role,)
                return "allowed"
        return "hidden"

    def _forbid(self, operation: str) -> None:
        self.checks.append(Check(operation, None, None, "forbidden"))
        raise Forbidden
