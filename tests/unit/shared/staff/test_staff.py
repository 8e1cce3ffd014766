"""The staff of a clinic depends on the events that occurred, not on how they arrived."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.access.assignments import WHOLE_CLINIC
from shared.events.staff import StaffEvent, StaffUpdated
from shared.staff.staff import ClinicStaff, events_of, fold
from tests.support.staff_builders import (
    ANNA,
    ANNAS,
    BEN,
    BENS,
    CARLA,
    CLINIC,
    DAY,
    START,
    deputies_updated,
    deputy,
    lead_updated,
    removed,
    staff_updated,
    supervisor,
    supervisors_updated,
)

TIMES = st.integers(0, 2).map(lambda day: START + day * DAY)
PEOPLE = st.sampled_from([ANNA, BEN, CARLA])
CLINICIANS = st.sampled_from([ANNAS, BENS])
ROLES = st.sampled_from(["clinician", "supervisor", "desk", "administrator"])
EVENTS: st.SearchStrategy[StaffEvent] = st.one_of(
    st.builds(lambda p, role, at: staff_updated(p, role, occurred_at=at), PEOPLE, ROLES, TIMES),
    st.builds(lambda p, at: removed(p, occurred_at=at), PEOPLE, TIMES),
    st.builds(lambda c, p, at: deputies_updated(c, deputy(p), occurred_at=at), CLINICIANS, PEOPLE, TIMES),
    st.builds(lambda c, at: deputies_updated(c, occurred_at=at), CLINICIANS, TIMES),
    st.builds(lambda c, p, at: supervisors_updated(c, supervisor(p), occurred_at=at), CLINICIANS, PEOPLE, TIMES),
    st.builds(lambda c, at: supervisors_updated(c, occurred_at=at), CLINICIANS, TIMES),
    st.builds(lambda p, at: lead_updated(p, occurred_at=at), st.none() | PEOPLE, TIMES),
)


def staff_of(*events: StaffEvent) -> ClinicStaff:
    return fold(CLINIC, events)


@given(events=st.lists(EVENTS, min_size=1, max_size=12), data=st.data())
def test_the_order_of_arrival_and_repetition_do_not_matter(events: Sequence[StaffEvent], data: st.DataObject) -> None:
    duplicates = data.draw(st.lists(st.sampled_from(events), max_size=4))
    arrived = data.draw(st.permutations([*events, *duplicates]))

    assert staff_of(*arrived) == staff_of(*events)


@given(events=st.lists(EVENTS, max_size=12))
def test_the_events_that_count_give_the_same_staff(events: Sequence[StaffEvent]) -> None:
    staff = staff_of(*events)

    assert fold(CLINIC, events_of(staff)) == staff


@given(events=st.lists(EVENTS, max_size=12), person=PEOPLE)
def test_somebody_who_was_removed_last_has_no_access(events: Sequence[StaffEvent], person: UUID) -> None:
    """Of a removal and another event of the same moment, the removal counts."""
    staff = staff_of(*events, removed(person, occurred_at=START + 2 * DAY))

    assert staff.roles_of(person) == frozenset()
    assert staff.clinician_of(person) is None
    assert staff.deputized_clinicians(person, START) == frozenset()
    assert staff.supervised_clinicians(person, START) == frozenset()


def test_the_latest_record_of_a_person_counts() -> None:
    old, new = staff_updated(ANNA, "desk"), staff_updated(ANNA, "administrator", occurred_at=START + DAY)

    assert staff_of(new, old).roles_of(ANNA) == {"administrator"}
    assert staff_of(removed(ANNA), new).roles_of(ANNA) == {"administrator"}, "who comes back has roles again"


def test_of_two_records_of_the_same_moment_the_one_with_the_greater_id_counts() -> None:
    desk, ops = (
        staff_updated(ANNA, "desk", id=UUID(int=1)),
        staff_updated(ANNA, "ops", id=UUID(int=2)),
    )

    assert staff_of(desk, ops).roles_of(ANNA) == staff_of(ops, desk).roles_of(ANNA) == {"ops"}


def test_a_removal_of_the_same_moment_counts_whatever_the_ids() -> None:
    lowest, highest = UUID(int=1), UUID(int=2**128 - 1)

    staff = staff_of(
        removed(ANNA, id=lowest),
        staff_updated(ANNA, "clinician", id=highest),
        staff_updated(BEN, "clinician", "supervisor"),
        deputies_updated(ANNAS, id=lowest),
        deputies_updated(ANNAS, deputy(BEN), id=highest),
        supervisors_updated(ANNAS, id=lowest),
        supervisors_updated(ANNAS, supervisor(BEN), id=highest),
        lead_updated(None, id=lowest),
        lead_updated(BEN, id=highest),
    )

    assert staff.roles_of(ANNA) == frozenset()
    assert staff.deputized_clinicians(BEN, START) == frozenset()
    assert staff.supervised_clinicians(BEN, START) == frozenset()


def test_nobody_knows_somebody_who_is_not_on_the_staff() -> None:
    staff = staff_of(staff_updated(ANNA, "clinician"))

    assert staff.roles_of(BEN) == frozenset()
    assert staff.clinician_of(BEN) is None
    assert staff.supervised_clinicians(BEN, START) == frozenset()


def test_a_person_is_a_clinician_only_while_the_role_is_assigned() -> None:
    staff = staff_of(staff_updated(ANNA, "clinician"), staff_updated(BEN, "desk", clinician_id=BENS))

    assert (staff.clinician_of(ANNA), staff.clinician_of(BEN)) == (ANNAS, None)


def test_a_deputy_stands_in_from_the_first_moment_until_before_the_last() -> None:
    staff = staff_of(staff_updated(BEN, "clinician"), deputies_updated(ANNAS, deputy(BEN, days=14)))
    moment = DAY / 86_400_000

    assert staff.deputized_clinicians(BEN, START - moment) == frozenset()
    assert staff.deputized_clinicians(BEN, START) == {ANNAS}
    assert staff.deputized_clinicians(BEN, START + 14 * DAY - moment) == {ANNAS}
    assert staff.deputized_clinicians(BEN, START + 14 * DAY) == frozenset()


@pytest.mark.parametrize("roles", [("desk",), ("supervisor", "desk")])
def test_only_a_clinician_stands_in_for_another(roles: tuple[str, ...]) -> None:
    staff = staff_of(staff_updated(BEN, *roles), deputies_updated(ANNAS, deputy(BEN)))  # type: ignore[arg-type]

    assert staff.deputized_clinicians(BEN, START) == frozenset()


def test_a_supervisor_reaches_the_clinicians_of_the_agreed_time() -> None:
    staff = staff_of(
        staff_updated(CARLA, "supervisor"),
        supervisors_updated(ANNAS, supervisor(CARLA, days=1)),
        supervisors_updated(BENS, supervisor(CARLA)),
    )

    assert staff.supervised_clinicians(CARLA, START) == frozenset({ANNAS, BENS})
    assert staff.supervised_clinicians(CARLA, START + DAY) == frozenset({BENS})
    assert staff.supervised_clinicians(CARLA, START - DAY) == frozenset()


def test_the_lead_supervises_the_whole_clinic_while_being_a_supervisor() -> None:
    lead, supervisor_again = lead_updated(CARLA), staff_updated(CARLA, "supervisor", occurred_at=START + 2 * DAY)
    no_supervisor = staff_updated(CARLA, "desk", occurred_at=START + DAY)

    assert staff_of(lead, staff_updated(CARLA, "supervisor")).supervised_clinicians(CARLA, START) == WHOLE_CLINIC
    assert staff_of(lead, no_supervisor).supervised_clinicians(CARLA, START) == frozenset()
    assert staff_of(lead, no_supervisor, supervisor_again).supervised_clinicians(CARLA, START) == WHOLE_CLINIC


def test_another_lead_takes_the_place_of_the_first() -> None:
    people = [staff_updated(person, "supervisor") for person in (ANNA, CARLA)]

    staff = staff_of(*people, lead_updated(CARLA), lead_updated(ANNA, occurred_at=START + DAY))

    assert staff.supervised_clinicians(ANNA, START) == WHOLE_CLINIC
    assert staff.supervised_clinicians(CARLA, START) == frozenset()


def test_a_clinician_has_a_supervisor_only_while_somebody_may_act_as_one() -> None:
    assigned = supervisors_updated(ANNAS, supervisor(CARLA, days=2))
    staff = staff_of(assigned, staff_updated(CARLA, "supervisor"))

    assert staff.has_supervisor(ANNAS, START)
    assert not staff.has_supervisor(ANNAS, START + 2 * DAY)
    assert not staff.has_supervisor(BENS, START)
    assert not staff_of(assigned, removed(CARLA)).has_supervisor(ANNAS, START)


def test_a_clinician_has_left_when_nobody_is_that_clinician_any_more() -> None:
    works = staff_updated(ANNA, "clinician")

    assert not staff_of().has_left(ANNAS), "somebody who was never on the staff has not left"
    assert not staff_of(works).has_left(ANNAS)
    assert staff_of(works, removed(ANNA, ANNAS, occurred_at=START + DAY)).has_left(ANNAS)
    assert staff_of(staff_updated(ANNA, "desk", clinician_id=ANNAS)).has_left(ANNAS)
    assert not staff_of(removed(ANNA, ANNAS), staff_updated(CARLA, "clinician", clinician_id=ANNAS)).has_left(ANNAS)


def test_an_event_of_the_staff_has_only_ids_codes_and_times() -> None:
    assert set(StaffUpdated.model_fields) == {
        "id",
        "occurred_at",
        "clinic_id",
        "type",
        "person_id",
        "roles",
        "clinician_id",
        "is_removed",
    }
