"""Who may do what with sessions and with the forms about them."""

from functools import partial

from shared.access.table.row import ReachByRole, Row

_row = partial(Row, "sessions")
_page = partial(Row, "sessions", is_page=True)

CARE_AND_DESK: ReachByRole = {"clinician": "own", "deputy": "deputized", "desk": "clinic"}
CLINICIAN: ReachByRole = {"clinician": "own"}
DESK: ReachByRole = {"desk": "clinic"}

_SESSION = "/sessions/{session_id}"

SESSIONS_ROWS = (
    _row("read_session", "GET", _SESSION, CARE_AND_DESK, scope="sessions"),
    _row("schedule_session", "PUT", _SESSION, CARE_AND_DESK, scope="sessions"),
    _row("complete_session", "POST", f"{_SESSION}/completion", CARE_AND_DESK, scope="sessions"),
    _row("mark_session_missed", "POST", f"{_SESSION}/missed", CARE_AND_DESK, scope="sessions"),
    _row("cancel_session", "POST", f"{_SESSION}/cancellation", CARE_AND_DESK, scope="sessions"),
    _row("correct_outcome", "PUT", f"{_SESSION}/corrections/{{correction_id}}", CARE_AND_DESK, scope="sessions"),
    # Not the clinician, who could answer as the client.
    _row("issue_client_link", "POST", f"{_SESSION}/client-link", DESK, scope="sessions"),
    _row("record_client_answer", "PUT", f"{_SESSION}/feedback/{{rater}}", DESK, scope="feedback"),
    _row("record_clinician_answer", "PUT", f"{_SESSION}/feedback/{{rater}}", CLINICIAN, scope="feedback"),
    _page("open_client_form", "GET", "/f/{token}", {}, is_public=True),
    _page("open_clinician_form", "GET", "/f/{token}", CLINICIAN),
    _page("submit_client_form", "POST", "/f/{token}", {}, is_public=True),
    _page("submit_clinician_form", "POST", "/f/{token}", CLINICIAN),
    _row("read_form_style", "GET", "/form.css", {}, is_public=True),
)
