"""Who may do what with the people of a clinic, its relationships, and its settings."""

from functools import partial
from typing import get_args

from shared.access.roles import Role
from shared.access.table.row import ReachByRole, Row

_row = partial(Row, "intake")
_page = partial(Row, "intake", is_page=True)

ADMINISTRATOR: ReachByRole = {"administrator": "clinic"}
DESK: ReachByRole = {"desk": "clinic"}
CLINICIAN_AND_DESK: ReachByRole = {"clinician": "own", "desk": "clinic"}
EVERYBODY: ReachByRole = dict.fromkeys(get_args(Role), "self")

_RELATIONSHIP = "/relationships/{relationship_id}"
_PERSON = "/clinics/{clinic_id}/people/{person_id}"
_MACHINE = "/clinics/{clinic_id}/machines/{machine_id}"
_CLINICIAN = "/clinics/{clinic_id}/clinicians/{clinician_id}"

PEOPLE_ROWS = (
    _row("save_clinic", "PUT", "/clinics/{clinic_id}", ADMINISTRATOR),
    _row(
        "save_clinician",
        "PUT",
        "/clinicians/{clinician_id}",
        {"clinician": "self", "administrator": "clinic"},
        scope="staff",
    ),
    _row("add_client", "PUT", "/clients/{client_id}", DESK, scope="intake"),
)

RELATIONSHIP_ROWS = (
    _row(
        "read_relationship",
        "GET",
        _RELATIONSHIP,
        {"clinician": "own", "deputy": "deputized", "supervisor": "supervised", "desk": "clinic"},
        scope="intake",
    ),
    _row("start_relationship", "PUT", _RELATIONSHIP, DESK, scope="intake"),
    _row("update_aims", "PUT", f"{_RELATIONSHIP}/aims", CLINICIAN_AND_DESK, scope="intake"),
    _row("give_consent", "PUT", f"{_RELATIONSHIP}/consent", CLINICIAN_AND_DESK, scope="intake"),
    _row(
        "withdraw_consent",
        "PUT",
        f"{_RELATIONSHIP}/consent",
        {"clinician": "own", "deputy": "deputized", "desk": "clinic", "administrator": "clinic"},
        scope="intake",
    ),
    _row("end_relationship", "POST", f"{_RELATIONSHIP}/end", CLINICIAN_AND_DESK, scope="intake"),
    # Not the clinician, whose access it would prolong.
    _row("correct_end", "PUT", f"{_RELATIONSHIP}/end/corrections/{{correction_id}}", DESK, scope="intake"),
    _row(
        "transfer_relationship",
        "POST",
        f"{_RELATIONSHIP}/transfer",
        {"desk": "clinic", "administrator": "clinic"},
        scope="intake",
    ),
    _row("list_relationships", "GET", "/clinics/{clinic_id}/relationships", DESK, scope="intake"),
    _row(
        "import_caseload",
        "POST",
        "/clinics/{clinic_id}/caseload",
        {"desk": "clinic", "administrator": "clinic"},
        scope="intake",
    ),
)

STAFF_ROWS = (
    _row("invite_person", "PUT", f"{_PERSON}/invitation", ADMINISTRATOR),
    _row("save_person", "PUT", _PERSON, ADMINISTRATOR),
    _row("remove_person", "DELETE", _PERSON, ADMINISTRATOR),
    _row("save_deputies", "PUT", f"{_CLINICIAN}/deputies", {"clinician": "self", "administrator": "clinic"}),
    _row("save_supervisors", "PUT", f"{_CLINICIAN}/supervisors", ADMINISTRATOR),
    _row("save_lead", "PUT", "/clinics/{clinic_id}/lead", ADMINISTRATOR),
    _row("save_machine", "PUT", _MACHINE, ADMINISTRATOR),
    _row("revoke_machine", "DELETE", _MACHINE, ADMINISTRATOR),
)

SIGN_IN_ROWS = (
    _page("start_sign_in", "GET", "/sign-in", {}, is_public=True),
    _page("finish_sign_in", "GET", "/sign-in/callback", {}, is_public=True),
    _page("sign_out", "POST", "/sign-out", {}, is_public=True),
    _page("read_invitation", "GET", "/invitations/{token}", {}, is_public=True),
    _page("accept_invitation", "POST", "/invitations/{token}", {}, is_public=True),
    _row("read_sign_in_style", "GET", "/sign-in.css", {}, is_public=True),
    _page("read_me", "GET", "/me", EVERYBODY),
    _page("end_login_session", "POST", "/me/login-sessions/{login_session_id}/end", EVERYBODY),
    _page("choose_role", "POST", "/me/role", EVERYBODY),
)

INTAKE_ROWS = (*PEOPLE_ROWS, *RELATIONSHIP_ROWS, *STAFF_ROWS, *SIGN_IN_ROWS)
