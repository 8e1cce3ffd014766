"""Who may do what, docs/access.md, generated from the table that decides."""

from collections.abc import Iterable
from typing import get_args

from shared.access.acting_role import ROLE_HEADER, ROLES
from shared.access.decision import TIME_AFTER_END
from shared.access.roles import Role
from shared.access.table import ROWS, Reach, Row, Service

INTRODUCTION = f"""\
# Who may do what

This table is generated from `shared/access/table`, which decides about every request; `make contracts` writes it. What
is not in it is refused, and a service with a route that is not in it does not start.

> The services do not apply it yet: until they do, protect them as [SECURITY.md](../SECURITY.md) says.

## How a request is decided

1. **Who asks?** A person has signed in, or a clinic's system sends a bearer token. Otherwise the answer is 401, or for
   a page the sign-in, whatever the request is about. *Public* operations need no login: they show nothing, or their
   address is the key to them, as that of a client's form is.
2. **In which role?** A request acts in one role. It may name one that its sender holds in the header `{ROLE_HEADER}`;
   then it acts in no other. Otherwise it acts in the role that the person has chosen for the login session, or in the
   first of the table that the person holds and that the operation has. Of the roles clinician, deputy and supervisor,
   which are about different people, it is the first that reaches what the request is about: the link to a colleague's
   inbox opens without a choice.
3. **Is the operation for this role?** If no role that the sender holds has a cell in the row, or a system lacks the
   scope, the answer is 403. It is the same for every id, and nothing is looked up for it.
4. **Is the target in reach?** If not, the answer is 404, byte for byte that to an id that does not exist. Another
   clinic is never in reach. Lists contain what is in reach.

A route that does different things by its body or path has several operations, each with a row of its own. The form
behind `/f/{{token}}` is one of them: the token says whether it is the form of the client, which is public, or that of
the clinician, who must also have signed in and be the clinician of the relationship.

## Reaches

Every reach is within the clinic of the one who asks.

| reach | what is in it |
|---|---|
"""
REACHES: dict[Reach, str] = {
    "clinic": "everything",
    "own": f"relationships whose clinician I am, and what belongs to them, until {TIME_AFTER_END.days} days after "
    "their end",
    "deputized": "the same of the clinicians whose deputy I am now",
    "supervised": "relationships of the clinicians whom I supervise now; the lead supervises all, including those "
    "without a supervisor",
    "escalated": "as *supervised*, and only alerts that were escalated or whose clinician has left",
    "self": "the record of the person or the clinician that I am",
}
ROLES_TEXT = """
## Roles

An administrator assigns roles, and says who supervises whom and who is whose deputy from when until when. The role says
in which capacity a person acts, the assignment for whom: both are needed. *Deputy* is not assigned: a clinician is one
while an agreed time lasts. The *lead* is a supervisor of the whole clinic. *Ops* see health, metrics and the headers of
dead letters, on the ops port and by commands; of this table they have only their own page, `/me`. A clinic's systems
have scopes instead of roles, and reach all of their clinic with them.

Administrators, the desk, the privacy officer and ops see no ratings and nothing that is derived from them. A deputy
sees how a relationship stands and its episode, without elements and ratings: marked with * below.
"""


def render_access() -> str:
    """The document."""
    reaches = [f"| *{reach}* | {REACHES[reach]} |" for reach in get_args(Reach)]
    services: tuple[Service, ...] = get_args(Service)
    sections = [_section(service, [row for row in ROWS if row.service == service]) for service in services]
    return INTRODUCTION + "\n".join([*reaches, ROLES_TEXT, *sections])


def _section(service: Service, rows: Iterable[Row]) -> str:
    guarded = [row for row in rows if not row.is_public]
    public = [row for row in rows if row.is_public]
    columns = ["operation", "route", *(role.replace("_", " ") for role in ROLES if role != "ops"), "scope"]
    lines = [f"## {service}\n", _line(columns), _line(["---"] * len(columns)), *map(_row_line, guarded)]
    if public:
        lines += ["\nPublic:\n", *(f"- `{row.operation}`: `{row.method} {row.path}`" for row in public)]
    return "\n".join([*lines, ""])


def _row_line(row: Row) -> str:
    cells = [_cell(row, role) for role in ROLES if role != "ops"]
    return _line([f"`{row.operation}`", f"`{row.method} {row.path}`", *cells, f"`{row.scope}`" if row.scope else ""])


def _cell(row: Row, role: Role) -> str:
    return row.reach_by_role.get(role, "") + (" *" if role in row.reduced_roles else "")


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |").replace("|  |", "| |")
