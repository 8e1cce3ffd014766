"""The table of routes and roles: what is not in it is refused."""

from shared.access.table.alliance import ALLIANCE_ROWS
from shared.access.table.intake import INTAKE_ROWS
from shared.access.table.notify import NOTIFY_ROWS
from shared.access.table.row import Reach, ReachByRole, Row, Service
from shared.access.table.sessions import SESSIONS_ROWS

ROWS: tuple[Row, ...] = (*INTAKE_ROWS, *SESSIONS_ROWS, *ALLIANCE_ROWS, *NOTIFY_ROWS)
"""Every operation of every service."""

__all__ = ["ROWS", "Reach", "ReachByRole", "Row", "Service"]
