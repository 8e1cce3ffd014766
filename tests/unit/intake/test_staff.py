"""Who works at a clinic: what administrators may decide, and which events follow."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID, uuid4

import pytest

from services.intake.domain import staff as decisions
from services.intake.domain.staff import MAX_PEOPLE, Assignment, Decision, save_deputies, save_lead, save_supervisors
from shared.errors import Invalid, NotFound, Rejected
from shared.events import AssignedRole, DeputyPeriod, LeadUpdated, StaffUpdated
from shared.staff.staff import ClinicStaff
from tests.support.staff_builders import ANNA, ANNAS, BEN, BENS, CARLA, CLINIC, DAY, START, deputy, supervisor

EMPTY = ClinicStaff(clinic_id=CLINIC)


def save(
    staff: ClinicStaff,
    person_id: UUID,
    *roles: AssignedRole,
    clinician_id: UUID | None = None,
    accepted: Collection[UUID] = (),
    now: datetime = START,
) -> Decision:
    return decisions.save_person(staff, Assignment(person_id, roles, clinician_id), accepted, now)


def remove(staff: ClinicStaff, person_id: UUID, accepted: Collection[UUID] = (), now: datetime = START) -> Decision:
    return decisions.remove_person(staff, person_id, accepted, now)


@pytest.fixture
def staff() -> ClinicStaff:
    """Anna is a clinician; Ben is one, too, and a supervisor; Carla is the administrator."""
    staff, _ = save(EMPTY, ANNA, "clinician", clinician_id=ANNAS)
    staff, _ = save(staff, BEN, "supervisor", "clinician", clinician_id=BENS)
    return save(staff, CARLA, "administrator")[0]


def test_a_person_is_added_with_the_roles_in_their_usual_order() -> None:
    staff, (event,) = save(EMPTY, BEN, "supervisor", "clinician", clinician_id=BENS)

    assert isinstance(event, StaffUpdated)
    assert (event.person_id, event.roles, event.clinician_id) == (BEN, ("clinician", "supervisor"), BENS)
    assert (event.clinic_id, event.occurred_at, event.is_removed) == (CLINIC, START, False)
    assert staff.people == (event,)


def test_a_repeated_request_changes_nothing(staff: ClinicStaff) -> None:
    saved, _ = save_deputies(staff, ANNAS, [deputy(BEN), deputy(BEN)], START)
    saved, _ = save_supervisors(saved, ANNAS, [supervisor(BEN)], START)
    saved, _ = save_lead(saved, BEN, START)

    assert save(saved, ANNA, "clinician", clinician_id=ANNAS, now=START + DAY) == (saved, ())
    assert save_deputies(saved, ANNAS, [deputy(BEN)], START + DAY) == (saved, ())
    assert save_supervisors(saved, ANNAS, [supervisor(BEN)], START + DAY) == (saved, ())
    assert save_lead(saved, BEN, START + DAY) == (saved, ())
    assert save_lead(staff, None, START) == (staff, ()), "there was no lead"


def test_each_change_of_a_record_has_an_id_of_its_own_and_a_later_time(staff: ClinicStaff) -> None:
    """Even if the clock has gone back meanwhile."""
    events = [staff.person(ANNA)]
    for roles in (("desk",), ("ops",), ("desk",)):
        staff, (event,) = save(staff, ANNA, *roles, now=START - DAY)
        assert isinstance(event, StaffUpdated)
        events.append(event)

    times = [event.occurred_at for event in events if event]
    assert times == sorted(set(times))
    assert len({event.id for event in events if event}) == 4


def test_a_removed_person_has_no_roles_and_the_record_says_who_left(staff: ClinicStaff) -> None:
    removed, (event,) = remove(staff, ANNA)

    assert isinstance(event, StaffUpdated)
    assert (event.is_removed, event.roles, event.clinician_id) == (True, (), ANNAS)
    assert removed.has_left(ANNAS)
    assert remove(removed, ANNA) == (removed, ())


def test_somebody_who_was_removed_can_come_back(staff: ClinicStaff) -> None:
    removed, _ = remove(staff, ANNA)

    back, _ = save(removed, ANNA, "clinician", clinician_id=ANNAS)

    assert back.roles_of(ANNA) == {"clinician"}
    assert not back.has_left(ANNAS)


def test_a_clinician_is_one_person(staff: ClinicStaff) -> None:
    with pytest.raises(Invalid, match="clinician_id"):
        save(staff, CARLA, "clinician")
    with pytest.raises(Rejected, match=str(ANNAS)) as rejected:
        save(staff, CARLA, "clinician", clinician_id=ANNAS)
    assert rejected.value.code == "clinician-taken"

    removed, _ = remove(staff, ANNA)
    assert save(removed, CARLA, "administrator", "clinician", clinician_id=ANNAS)[1]


def test_the_last_administrator_cannot_be_removed_and_keeps_the_role(staff: ClinicStaff) -> None:
    with pytest.raises(Rejected, match="last administrator") as rejected:
        remove(staff, CARLA)
    assert rejected.value.code == "last-administrator"
    with pytest.raises(Rejected, match="last administrator"):
        save(staff, CARLA, "desk")


def test_an_administrator_who_can_sign_in_is_replaced_only_by_one_who_can(staff: ClinicStaff) -> None:
    two, _ = save(staff, ANNA, "administrator")

    with pytest.raises(Rejected, match="last administrator"):
        remove(two, CARLA, accepted={CARLA})

    assert remove(two, CARLA, accepted={CARLA, ANNA})[1]
    assert remove(two, ANNA, accepted={CARLA})[1], "somebody who never signed in is no loss"
    assert remove(two, ANNA)[1], "nobody has signed in yet, and one administrator stays"


def test_a_clinic_has_a_largest_number_of_people() -> None:
    people = tuple(
        StaffUpdated(id=uuid4(), occurred_at=START, clinic_id=CLINIC, person_id=uuid4(), roles=("desk",))
        for _ in range(MAX_PEOPLE)
    )
    full = ClinicStaff(clinic_id=CLINIC, people=people)

    with pytest.raises(Rejected, match=str(MAX_PEOPLE)):
        save(full, ANNA, "desk")
    assert save(full, people[0].person_id, "ops")[1], "those who are there can be changed"


def test_deputies_are_clinicians_of_the_staff(staff: ClinicStaff) -> None:
    saved, _ = save_deputies(staff, ANNAS, [deputy(BEN)], START)

    assert saved.deputized_clinicians(BEN, START) == {ANNAS}
    with pytest.raises(Rejected, match="no clinician"):
        save_deputies(staff, ANNAS, [deputy(CARLA)], START)
    with pytest.raises(NotFound, match="not on the staff"):
        save_deputies(staff, ANNAS, [deputy(uuid4())], START)
    with pytest.raises(Rejected, match=str(ANNAS)):
        save_deputies(staff, ANNAS, [deputy(ANNA)], START)


def test_a_period_ends_after_it_begins(staff: ClinicStaff) -> None:
    with pytest.raises(Invalid, match="until_at"):
        save_deputies(staff, ANNAS, [DeputyPeriod(person_id=BEN, from_at=START, until_at=START)], START)


def test_deputies_can_be_replaced_by_none(staff: ClinicStaff) -> None:
    saved, _ = save_deputies(staff, ANNAS, [deputy(BEN)], START)

    emptied, _ = save_deputies(saved, ANNAS, [], START)

    assert emptied.deputized_clinicians(BEN, START) == frozenset()


def test_supervisors_and_the_lead_have_the_role(staff: ClinicStaff) -> None:
    saved, _ = save_supervisors(staff, ANNAS, [supervisor(BEN)], START)
    assert saved.has_supervisor(ANNAS, START)

    with pytest.raises(Rejected, match="role supervisor"):
        save_supervisors(staff, ANNAS, [supervisor(CARLA)], START)
    with pytest.raises(Rejected, match=str(BENS)):
        save_supervisors(staff, BENS, [supervisor(BEN)], START)
    with pytest.raises(Rejected, match="role supervisor"):
        save_lead(staff, CARLA, START)
    with pytest.raises(NotFound, match="not on the staff"):
        save_lead(staff, uuid4(), START)


def test_the_lead_can_be_replaced_by_nobody(staff: ClinicStaff) -> None:
    led, _ = save_lead(staff, BEN, START)

    without, (event,) = save_lead(led, None, START)

    assert event == without.lead
    assert isinstance(event, LeadUpdated)
    assert event.person_id is None


def test_nobody_is_removed_who_was_never_there(staff: ClinicStaff) -> None:
    with pytest.raises(NotFound, match=f"PUT /clinics/{CLINIC}/people/"):
        remove(staff, uuid4())
