"""A request has one acting role, and a person can always know which."""

from hypothesis import given
from hypothesis import strategies as st

from shared.access.acting_role import CARE_ROLES, ROLES, candidate_roles, held_roles
from shared.access.roles import Role
from shared.access.table import Row
from tests.unit.shared.access.clinic_world import DAY, ME, NOW, staff

READ_SESSION = Row(
    "sessions", "read_session", "GET", "/", {"clinician": "own", "deputy": "deputized", "desk": "clinic"}
)
READ_INBOX = Row(
    "notify", "read_inbox", "GET", "/", {"clinician": "self", "deputy": "deputized", "supervisor": "supervised"}
)
EVERY_ROLE = frozenset(ROLES)

role_sets = st.frozensets(st.sampled_from(ROLES))
rows = st.sampled_from([READ_SESSION, READ_INBOX])


def test_the_first_role_that_is_held_and_that_the_row_has_acts() -> None:
    assert candidate_roles(READ_SESSION, {"administrator", "desk"}, None, None) == ("desk",)
    assert candidate_roles(READ_SESSION, {"administrator"}, None, None) == ()
    assert candidate_roles(READ_SESSION, EVERY_ROLE, None, None)[0] == "clinician"


def test_the_role_chosen_for_the_login_session_is_preferred_where_the_row_has_it() -> None:
    assert candidate_roles(READ_SESSION, EVERY_ROLE, None, "desk") == ("desk",)
    assert candidate_roles(READ_INBOX, EVERY_ROLE, None, "supervisor")[0] == "supervisor"
    assert candidate_roles(READ_INBOX, EVERY_ROLE, None, "desk")[0] == "clinician"


def test_a_role_chosen_earlier_and_taken_away_since_does_not_act() -> None:
    assert candidate_roles(READ_SESSION, {"clinician"}, None, "desk") == ("clinician",)


def test_a_role_that_the_request_names_is_never_replaced_by_another() -> None:
    assert candidate_roles(READ_INBOX, EVERY_ROLE, "supervisor", "clinician") == ("supervisor",)
    assert candidate_roles(READ_INBOX, EVERY_ROLE, "desk", None) == ()
    assert candidate_roles(READ_INBOX, {"clinician"}, "supervisor", None) == ()
    assert candidate_roles(READ_INBOX, EVERY_ROLE, "root", None) == ()
    assert candidate_roles(READ_INBOX, EVERY_ROLE, "", None) == ()


def test_the_roles_of_care_follow_each_other() -> None:
    """The link in a message to a deputy or a supervisor opens, without a choice of role."""
    assert candidate_roles(READ_INBOX, EVERY_ROLE, None, None) == ("clinician", "deputy", "supervisor")
    assert candidate_roles(READ_INBOX, EVERY_ROLE, None, "deputy") == ("deputy", "clinician", "supervisor")


@given(rows, role_sets, st.none() | st.sampled_from(ROLES))
def test_other_roles_act_only_by_choice_or_alone(row: Row, held: frozenset[Role], chosen: Role | None) -> None:
    candidates = candidate_roles(row, held, None, chosen)

    assert len(set(candidates)) == len(candidates)
    assert set(candidates) <= held & set(row.reach_by_role)
    assert len(candidates) <= 1 or set(candidates) <= CARE_ROLES


def test_a_clinician_is_a_deputy_in_the_agreed_time_only() -> None:
    assert held_roles(ME, staff("clinician"), NOW) == {"clinician", "deputy"}
    assert held_roles(ME, staff("clinician"), NOW + 0.9 * DAY) == {"clinician", "deputy"}
    assert held_roles(ME, staff("clinician"), NOW + 5 * DAY) == {"clinician"}


def test_a_person_who_is_no_longer_a_clinician_is_no_deputy() -> None:
    assert held_roles(ME, staff("desk"), NOW) == {"desk"}
    assert held_roles(ME, staff(), NOW) == set()


def test_the_role_of_a_deputy_cannot_be_assigned() -> None:
    assert held_roles(ME, staff("deputy"), NOW) == set()
