"""Who may see alerts, act on them, and say where they are sent."""

from functools import partial

from shared.access.table.row import ReachByRole, Row

_row = partial(Row, "notify")
_page = partial(Row, "notify", is_page=True)

INBOX_READERS: ReachByRole = {"clinician": "self", "deputy": "deputized", "supervisor": "supervised"}
ALERT_READERS: ReachByRole = {"clinician": "own", "deputy": "deputized", "supervisor": "supervised"}
ACKNOWLEDGERS: ReachByRole = {"clinician": "own", "deputy": "deputized", "supervisor": "escalated"}
RESOLVERS: ReachByRole = {"clinician": "own", "supervisor": "escalated"}

_CHANNELS = "/clinicians/{clinician_id}/channels"
_ALERT = "/alerts/{alert_id}"
_ALERT_ON_PAGE = "/inbox/{clinician_id}/alerts/{alert_id}"

NOTIFY_ROWS = (
    _row("save_channels", "PUT", _CHANNELS, {"clinician": "self"}),
    # An administrator may stop messages, and never redirect them.
    _row("clear_channels", "PUT", _CHANNELS, {"clinician": "self", "administrator": "clinic"}),
    _row("read_inbox", "GET", "/clinicians/{clinician_id}/inbox", INBOX_READERS),
    _row("follow_inbox", "GET", "/clinicians/{clinician_id}/inbox/stream", INBOX_READERS),
    _row("read_alert", "GET", _ALERT, ALERT_READERS),
    _row("acknowledge_alert", "POST", f"{_ALERT}/acknowledgement", ACKNOWLEDGERS),
    _row("resolve_alert", "POST", f"{_ALERT}/resolution", RESOLVERS),
    _row("reopen_alert", "POST", f"{_ALERT}/reopening", RESOLVERS),
    _page("open_inbox", "GET", "/inbox/{clinician_id}", INBOX_READERS),
    _page("acknowledge_alert_on_page", "POST", f"{_ALERT_ON_PAGE}/acknowledgement", ACKNOWLEDGERS),
    _page("resolve_alert_on_page", "POST", f"{_ALERT_ON_PAGE}/resolution/{{usefulness}}", RESOLVERS),
    _page("reopen_alert_on_page", "POST", f"{_ALERT_ON_PAGE}/reopening", RESOLVERS),
    _row("read_inbox_style", "GET", "/inbox.css", {}, is_public=True),
    _row("read_inbox_script", "GET", "/inbox.js", {}, is_public=True),
)
