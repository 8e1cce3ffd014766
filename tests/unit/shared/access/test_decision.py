"""Every operation, in every role, with every kind of target: exactly what the requirements allow."""

from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.acting_role import candidate_roles, held_roles
from shared.access.assignments import Assignments, NoStaff
from shared.access.decision import Decision, decide, reached_targets
from shared.access.roles import Role, Scope
from shared.access.table import ROWS, Row
from shared.access.target import Target
from shared.staff.staff import ClinicStaff, fold
from tests.support.access import FakeStaff, machine_of, person_of
from tests.support.staff_builders import ANNA, ANNAS, BEN, lead_updated, staff_updated
from tests.unit.shared.access.clinic_world import CLINIC, ME, NOW, OTHER_CLINIC, TARGETS, staff
from tests.unit.shared.access.oracle import (
    COLUMNS,
    NO_RATINGS,
    OPERATIONS_WITH_RATINGS,
    PUBLIC,
    reached,
    requirements,
)

ROWS_BY_OPERATION = {row.operation: row for row in ROWS}
ROWS_WITH_LOGIN = [row for row in ROWS if not row.is_public]
SCOPES: tuple[Scope, ...] = get_args(Scope)

every_row = pytest.mark.parametrize("row", ROWS_WITH_LOGIN, ids=lambda row: row.operation)
rows = st.sampled_from(ROWS_WITH_LOGIN)
targets = st.sampled_from(sorted(TARGETS))
role_sets = st.frozensets(st.sampled_from([role for role in COLUMNS if role != "deputy"]))


def outcome(row: Row, target: Target, acting_role: Role, assignments: Assignments) -> Decision:
    return decide(row, person_of(CLINIC, ME), acting_role, assignments, target, NOW)


def visible(row: Row, assignments: FakeStaff) -> set[str]:
    """What a person sees who may act in every role that is held."""
    held = held_roles(ME, assignments, NOW)
    return {
        name
        for name, target in TARGETS.items()
        if any(outcome(row, target, role, assignments) == "allowed" for role in held)
    }


def role_for(column: Role) -> tuple[Role, ...]:
    """The roles that must be assigned so that I can act in the one of a column."""
    return ("clinician",) if column == "deputy" else (column,)


def test_the_table_has_the_operations_of_the_requirements() -> None:
    assert set(ROWS_BY_OPERATION) == set(requirements()) | PUBLIC
    assert {row.operation for row in ROWS if row.is_public} == PUBLIC
    assert len(ROWS_BY_OPERATION) == len(ROWS)


@every_row
@pytest.mark.parametrize("is_lead", [False, True], ids=["", "lead"])
@pytest.mark.parametrize("role", COLUMNS)
def test_a_role_reaches_what_the_requirements_say(row: Row, role: Role, *, is_lead: bool) -> None:
    assignments = staff(*role_for(role), is_lead=is_lead)
    may_at_all = requirements()[row.operation][role] != "-"

    for name, target in TARGETS.items():
        refused = "hidden" if may_at_all else "forbidden"
        expected = "allowed" if name in reached(row.operation, role, is_lead=is_lead) else refused
        assert outcome(row, target, role, assignments) == expected, name


@every_row
@pytest.mark.parametrize("scope", SCOPES)
def test_a_machine_reaches_its_clinic_with_the_scope_of_the_requirements(row: Row, scope: Scope) -> None:
    machine = machine_of(CLINIC, {scope})
    has_scope = requirements()[row.operation]["machine"] == scope

    for target in TARGETS.values():
        in_clinic: Decision = "allowed" if target.clinic_id == CLINIC else "hidden"
        expected = in_clinic if has_scope else "forbidden"
        assert decide(row, machine, None, NoStaff(), target, NOW) == expected


@every_row
def test_a_role_that_is_not_held_is_refused(row: Row) -> None:
    for role, target in product(COLUMNS, TARGETS.values()):
        assert outcome(row, target, role, staff()) == "forbidden"


@every_row
def test_a_person_without_an_acting_role_is_refused(row: Row) -> None:
    person = person_of(CLINIC, ME)
    assignments = staff("clinician", "supervisor", "administrator", "desk", is_lead=True)

    assert decide(row, person, None, assignments, TARGETS["mine"], NOW) == "forbidden"
    assert not reached_targets(row, person, None, assignments, NOW).contains(TARGETS["mine"])


@every_row
def test_a_role_without_ratings_has_no_operation_that_shows_one(row: Row) -> None:
    if row.operation in OPERATIONS_WITH_RATINGS:
        assert not NO_RATINGS & set(row.reach_by_role)


def test_a_deputy_sees_neither_elements_nor_ratings() -> None:
    with_ratings = {row.operation for row in ROWS if row.service == "alliance" and "deputy" in row.reach_by_role}

    assert with_ratings == {row.operation for row in ROWS if row.reduced_roles} != set()
    assert all(row.reduced_roles == {"deputy"} for row in ROWS if row.reduced_roles)


@given(rows, targets, role_sets, st.booleans())
def test_another_clinic_is_never_reached(row: Row, name: str, roles: frozenset[Role], is_lead: bool) -> None:
    target = TARGETS[name]
    elsewhere = Target(OTHER_CLINIC, target.clinician_id, target.ended_at, True, target.person_id)

    for role in COLUMNS:
        assert outcome(row, elsewhere, role, staff(*roles, is_lead=is_lead)) != "allowed"
    assert decide(row, machine_of(CLINIC, set(SCOPES)), None, NoStaff(), elsewhere, NOW) != "allowed"


@given(rows, role_sets, role_sets, st.booleans())
def test_fewer_roles_never_reach_more(row: Row, roles: frozenset[Role], more: frozenset[Role], is_lead: bool) -> None:
    assert visible(row, staff(*roles, is_lead=is_lead)) <= visible(row, staff(*(roles | more), is_lead=is_lead))


@given(rows, targets, role_sets)
def test_what_the_lead_sees_includes_what_a_supervisor_sees(row: Row, name: str, roles: frozenset[Role]) -> None:
    assert visible(row, staff(*roles)) <= visible(row, staff(*roles, is_lead=True))


@given(rows, role_sets, st.booleans(), st.none() | st.sampled_from(COLUMNS))
def test_a_request_sees_no_more_than_its_roles_together(
    row: Row, roles: frozenset[Role], is_lead: bool, chosen: Role | None
) -> None:
    assignments = staff(*roles, is_lead=is_lead)
    candidates = candidate_roles(row, held_roles(ME, assignments, NOW), None, chosen)
    seen = {
        name
        for name, target in TARGETS.items()
        if any(outcome(row, target, role, assignments) == "allowed" for role in candidates)
    }

    assert seen <= visible(row, assignments)


@every_row
@pytest.mark.parametrize("role", COLUMNS)
def test_a_list_is_filtered_as_single_targets_are_decided(row: Row, role: Role) -> None:
    assignments = staff(*role_for(role))
    in_reach = reached_targets(row, person_of(CLINIC, ME), role, assignments, NOW)

    for target in TARGETS.values():
        if target.clinic_id == CLINIC and row.reach_by_role.get(role) != "escalated":
            assert in_reach.contains(target) == (outcome(row, target, role, assignments) == "allowed")


def test_the_staff_that_a_service_folds_decides() -> None:
    events = [staff_updated(ANNA, "clinician"), staff_updated(BEN, "clinician", "supervisor")]
    assignments: ClinicStaff = fold(CLINIC, events)
    row = ROWS_BY_OPERATION["read_alliance"]
    annas = Target(CLINIC, ANNAS)

    assert decide(row, person_of(CLINIC, ANNA), "clinician", assignments, annas, NOW) == "allowed"
    assert decide(row, person_of(CLINIC, BEN), "clinician", assignments, annas, NOW) == "hidden"
    assert decide(row, person_of(CLINIC, BEN), "supervisor", assignments, annas, NOW) == "hidden"

    with_lead = fold(CLINIC, [*events, lead_updated(BEN)])
    assert decide(row, person_of(CLINIC, BEN), "supervisor", with_lead, annas, NOW) == "allowed"
