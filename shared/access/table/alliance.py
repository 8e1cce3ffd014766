"""Who may see how a relationship goes: what clients answered, and what follows from it."""

from functools import partial

from shared.access.roles import Role
from shared.access.table.row import ReachByRole, Row

_row = partial(Row, "alliance")

CLINICIAN_AND_SUPERVISOR: ReachByRole = {"clinician": "own", "supervisor": "supervised"}
CARE: ReachByRole = {**CLINICIAN_AND_SUPERVISOR, "deputy": "deputized"}
WITHOUT_ANSWERS = frozenset[Role]({"deputy"})
"""Roles that see the standing and the episode, without elements and ratings."""

_RELATIONSHIP = "/relationships/{relationship_id}"

ALLIANCE_ROWS = (
    _row("read_alliance", "GET", _RELATIONSHIP, CARE, scope="alliance:read", reduced_roles=WITHOUT_ANSWERS),
    _row("read_trajectory", "GET", f"{_RELATIONSHIP}/trajectory", CLINICIAN_AND_SUPERVISOR, scope="alliance:read"),
    # A client who changes clinician has not said that the next one may read the answers about the one before.
    _row("read_predecessor", "GET", f"{_RELATIONSHIP}/trajectory", CLINICIAN_AND_SUPERVISOR),
    _row("list_clinic_alliances", "GET", "/clinics/{clinic_id}/relationships", {"supervisor": "supervised"}),
    _row(
        "list_clinician_alliances",
        "GET",
        "/clinicians/{clinician_id}/relationships",
        CARE,
        reduced_roles=WITHOUT_ANSWERS,
    ),
)
