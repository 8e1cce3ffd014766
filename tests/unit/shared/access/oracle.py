"""Who may do what, written again from the requirements and by hand: the table in the code must agree with it.

A line is an operation; its columns are clinician, deputy, supervisor, desk, administrator, privacy officer, ops, and
the scope of a machine. `-` is never.
"""

from shared.access.roles import Role

COLUMNS: tuple[Role, ...] = (
    "clinician",
    "deputy",
    "supervisor",
    "desk",
    "administrator",
    "privacy_officer",
    "ops",
)

REQUIREMENTS = """
    # intake                      clin  dep  sup   desk   admin  priv ops  machine
    save_clinic                   -     -    -     -      clinic -    -    -
    save_clinician                me    -    -     -      clinic -    -    staff
    add_client                    -     -    -     clinic -      -    -    intake
    read_relationship             own   dep  team  clinic -      -    -    intake
    start_relationship            -     -    -     clinic -      -    -    intake
    update_aims                   own   -    -     clinic -      -    -    intake
    give_consent                  own   -    -     clinic -      -    -    intake
    withdraw_consent              own   dep  -     clinic clinic -    -    intake
    end_relationship              own   -    -     clinic -      -    -    intake
    correct_end                   -     -    -     clinic -      -    -    intake
    transfer_relationship         -     -    -     clinic clinic -    -    intake
    list_relationships            -     -    -     clinic -      -    -    intake
    import_caseload               -     -    -     clinic clinic -    -    intake
    invite_person                 -     -    -     -      clinic -    -    -
    save_person                   -     -    -     -      clinic -    -    -
    remove_person                 -     -    -     -      clinic -    -    -
    save_deputies                 me    -    -     -      clinic -    -    -
    save_supervisors              -     -    -     -      clinic -    -    -
    save_lead                     -     -    -     -      clinic -    -    -
    save_machine                  -     -    -     -      clinic -    -    -
    revoke_machine                -     -    -     -      clinic -    -    -
    read_me                       me    me   me    me     me     me   me   -
    end_login_session             me    me   me    me     me     me   me   -
    choose_role                   me    me   me    me     me     me   me   -
    # sessions
    read_session                  own   dep  -     clinic -      -    -    sessions
    schedule_session              own   dep  -     clinic -      -    -    sessions
    complete_session              own   dep  -     clinic -      -    -    sessions
    mark_session_missed           own   dep  -     clinic -      -    -    sessions
    cancel_session                own   dep  -     clinic -      -    -    sessions
    correct_outcome               own   dep  -     clinic -      -    -    sessions
    issue_client_link             -     -    -     clinic -      -    -    sessions
    record_client_answer          -     -    -     clinic -      -    -    feedback
    record_clinician_answer       own   -    -     -      -      -    -    feedback
    open_clinician_form           own   -    -     -      -      -    -    -
    submit_clinician_form         own   -    -     -      -      -    -    -
    # alliance
    read_alliance                 own   dep  team  -      -      -    -    alliance:read
    read_trajectory               own   -    team  -      -      -    -    alliance:read
    read_predecessor              own   -    team  -      -      -    -    -
    list_clinic_alliances         -     -    team  -      -      -    -    -
    list_clinician_alliances      own   dep  team  -      -      -    -    -
    # notify
    save_channels                 me    -    -     -      -      -    -    -
    clear_channels                me    -    -     -      clinic -    -    -
    read_inbox                    me    dep  team  -      -      -    -    -
    follow_inbox                  me    dep  team  -      -      -    -    -
    read_alert                    own   dep  team  -      -      -    -    -
    acknowledge_alert             own   dep  left  -      -      -    -    -
    resolve_alert                 own   -    left  -      -      -    -    -
    reopen_alert                  own   -    left  -      -      -    -    -
    open_inbox                    me    dep  team  -      -      -    -    -
    acknowledge_alert_on_page     own   dep  left  -      -      -    -    -
    resolve_alert_on_page         own   -    left  -      -      -    -    -
    reopen_alert_on_page          own   -    left  -      -      -    -    -
"""
PUBLIC = {
    *("start_sign_in", "finish_sign_in", "sign_out", "read_invitation", "accept_invitation"),
    *(
        "open_client_form",
        "submit_client_form",
        "read_form_style",
        "read_sign_in_style",
        "read_inbox_style",
        "read_inbox_script",
    ),
}
"""Operations without a login: the sign-in itself, links that are keys, and files that show nothing."""
NO_RATINGS = {"desk", "administrator", "privacy_officer", "ops"}
"""Roles that see no rating and nothing derived from one."""
OPERATIONS_WITH_RATINGS = {
    *("read_alliance", "read_trajectory", "read_predecessor", "list_clinic_alliances", "list_clinician_alliances"),
    *("read_inbox", "follow_inbox", "read_alert", "open_inbox"),
}

_MINE = {"mine", "mine, ended 30 days ago"}
_ALWAYS_MINE = {*_MINE, "mine, ended longer ago"}
_DEPUTIZED = {"of whom I deputize", "of whom I deputize, ended 30 days ago"}
_ACTIONABLE = {"of whom I supervise, escalated", "of whom I supervise, who has left"}
_SUPERVISED = {"of whom I supervise", "of whom I supervise, ended long ago", *_ACTIONABLE}
_RECORDS = {"my record", "a colleague's record"}
_CLINIC = {
    *(_ALWAYS_MINE | _DEPUTIZED | _SUPERVISED | _RECORDS),
    *("of whom I deputize, ended longer ago", "of whom I no longer deputize", "of whom I do not deputize yet"),
    *("of whom I no longer supervise", "of a colleague", "of a colleague, escalated", "of a colleague who has left"),
    "of an unknown clinician",
}
REACHED = {
    "-": set[str](),
    "me": _ALWAYS_MINE | {"my record"},
    "own": _MINE,
    "dep": _DEPUTIZED,
    "team": _SUPERVISED,
    "left": _ACTIONABLE,
    "clinic": _CLINIC,
}
"""The targets that each cell allows, by name."""
REACHED_BY_LEAD = {"team": _CLINIC, "left": _ACTIONABLE | {"of a colleague, escalated", "of a colleague who has left"}}
"""The same for the supervisor who is the lead."""


def requirements() -> dict[str, dict[str, str]]:
    """The cells by operation and column."""
    lines = [line.split() for line in REQUIREMENTS.splitlines() if line.strip() and not line.strip().startswith("#")]
    return {operation: dict(zip((*COLUMNS, "machine"), cells, strict=True)) for operation, *cells in lines}


def reached(operation: str, role: Role, *, is_lead: bool = False) -> set[str]:
    """The names of the targets that a role may reach in an operation."""
    cell = requirements()[operation][role]
    lead = REACHED_BY_LEAD.get(cell) if is_lead and role == "supervisor" else None
    return REACHED[cell] if lead is None else lead
