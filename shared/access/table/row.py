"""One row of the table: an operation, and how far each role reaches in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from shared.access.roles import Role, Scope

Service = Literal["intake", "sessions", "alliance", "notify"]

Reach = Literal["clinic", "own", "deputized", "supervised", "escalated", "self"]
"""Which targets of its own clinic a role reaches:

- `clinic`: all;
- `own`: relationships whose clinician I am, open or ended at most 30 days ago;
- `deputized`: the same of the clinicians whose deputy I am now;
- `supervised`: those of the clinicians whom I supervise now; the lead supervises all of the clinic;
- `escalated`: of these, alerts that were escalated or whose clinician has left;
- `self`: the record of the person or clinician that I am.
"""
ReachByRole = Mapping[Role, Reach]


@dataclass(frozen=True)
class Row:
    """Who may do one operation, and with which targets. A role without a reach may not do it.

    A route has several rows if a body or a path parameter decides what is done; each is an operation of its own.
    """

    service: Service
    operation: str
    """The name in the audit; no two rows have the same."""
    method: str
    path: str
    reach_by_role: ReachByRole
    scope: Scope | None = None
    """What a clinic's system needs for it, with any target of its clinic; None if no system may do it."""
    is_public: bool = False
    """Whether everybody may do it without signing in, because it shows nothing or because the address is the key."""
    is_page: bool = False
    """Whether people get a page. Without a login they are sent to the sign-in."""
    reduced_roles: frozenset[Role] = frozenset()
    """Roles to which the view shows less, as the operation's documentation says."""
