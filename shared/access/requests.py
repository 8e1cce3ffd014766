"""Every request is authorized before its handler runs; the handler then checks what the request is about."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial
from typing import Annotated, Protocol

from fastapi import Depends, Request

from shared.access.acting_role import ROLE_HEADER, ROLES, held_roles
from shared.access.assignments import Assignments, NoStaff
from shared.access.clinic_id import ClinicId
from shared.access.decision import decide
from shared.access.grant import Grant, Requester
from shared.access.roles import Role
from shared.access.table import ROWS, Row, Service
from shared.access.target import Target
from shared.errors import Forbidden, Rejected, Transient
from shared.identity.principal import Machine, Person, Principal

RECHECK_SECONDS = 5.0
"""How often an open stream is checked, so that withdrawn access ends well within a minute."""
TOLERATED_OUTAGE = timedelta(seconds=45)
"""How long a stream goes on while the staff cannot be read. With a check before and after, it is under a minute."""

NO_STAFF = NoStaff()


class Authentication(Protocol):
    """Finds out who sends a request; `shared.identity.authentication` does."""

    async def authenticate(self, request: Request, /) -> Principal:
        """Raises Unauthenticated and Transient."""

    async def require_current(self, principal: Principal, /) -> None:
        """Raises Unauthenticated once the principal has signed out or was revoked, and Transient."""


class StaffSource(Protocol):
    """The staff of each clinic; `shared.staff.cache` has it."""

    async def of(self, clinic: ClinicId, /) -> Assignments:
        """Raises Transient."""


class Access:
    """Authorizes the requests of one service by the table."""

    def __init__(
        self,
        service: Service,
        authentication: Authentication,
        staff: StaffSource,
        clock: Callable[[], datetime],
        rows: Iterable[Row] = ROWS,
        recheck_seconds: float = RECHECK_SECONDS,
    ) -> None:
        self._authentication = authentication
        self._staff = staff
        self._clock = clock
        self._recheck_seconds = recheck_seconds
        self._rows: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in rows:
            if row.service == service:
                self._rows[row.method, row.path].append(row)

    async def authorize(self, request: Request) -> None:
        """The dependency of every route. Raises Unauthenticated, Forbidden and Transient.

        A route with a public operation finds out who asks only when another operation of it begins.
        """
        rows = self._rows.get((request.method, request.scope["route"].path))
        if rows is None:
            raise Forbidden
        grant = Grant(rows, partial(self._identify, request))
        request.state.grant = grant
        if not any(row.is_public for row in rows):
            await grant.identify()

    async def roles_of(self, person: Person) -> tuple[Role, ...]:
        """The roles in which a person may act now, in the order of `Role`. Raises Transient."""
        held = held_roles(person.person_id, await self._staff.of(person.clinic_id), self._clock())
        return tuple(role for role in ROLES if role in held)

    async def wait_until_over(self, grant: Grant, target: Target) -> None:
        """Return when the sender of a stream has signed out, or may no longer do this with the target."""
        checked_at = self._clock()
        while True:
            await asyncio.sleep(self._recheck_seconds)
            try:
                if not await self._still_allows(grant, target):
                    return
                checked_at = self._clock()
            except Transient:
                if self._clock() - checked_at > TOLERATED_OUTAGE:
                    return

    async def _identify(self, request: Request) -> Requester:
        principal = await self._authentication.authenticate(request)
        assignments = await self._assignments_for(principal)
        return Requester(principal, assignments, request.headers.get(ROLE_HEADER), self._clock())

    async def _still_allows(self, grant: Grant, target: Target) -> bool:
        """Raises Transient if the staff cannot be read."""
        principal = grant.principal
        if principal is None:
            return False
        try:
            await self._authentication.require_current(principal)
        except (Rejected, Transient):  # it has tolerated an outage already, as long as it may
            return False
        assignments = await self._assignments_for(principal)
        return decide(grant.row, principal, grant.acting_role, assignments, target, self._clock()) == "allowed"

    async def _assignments_for(self, principal: Principal) -> Assignments:
        return NO_STAFF if isinstance(principal, Machine) else await self._staff.of(principal.clinic_id)


async def _current_grant(request: Request) -> Grant:
    grant: Grant = request.state.grant
    return grant


CurrentGrant = Annotated[Grant, Depends(_current_grant)]
"""The parameter of a handler that gives it the grant of its request."""
