"""The use cases of a clinic's staff, on a store in memory."""

from datetime import datetime, timedelta
from itertools import count
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.intake.domain.invitations import INVITATION_VALIDITY, InvitationNotValid
from services.intake.domain.people import Clinic
from services.intake.domain.staff import Assignment
from services.intake.metrics import IntakeMetrics
from services.intake.service.people import PeopleService
from services.intake.service.staff import RecordedStaff, StaffService
from services.intake.store.memory import InMemoryStore
from shared.access.clinic_id import ClinicId
from shared.errors import IdTaken, NotFound, Rejected, StoreUnavailable
from shared.events import AssignedRole
from shared.staff.cache import CachedStaff
from tests.support.staff_builders import (
    ANNA,
    ANNAS,
    BEN,
    BENS,
    CARLA,
    CLINIC,
    OTHER_CLINIC,
    START,
    deputy,
    supervisor,
)

ELM, OAK = ClinicId(CLINIC), ClinicId(OTHER_CLINIC)


class Accounts:
    """The accounts of people at the issuer, of which some are removed."""

    def __init__(self) -> None:
        self.removed: list[UUID] = []
        self.is_available = True

    async def remove(self, person_id: UUID) -> None:
        if not self.is_available:
            raise StoreUnavailable("no answer")
        self.removed.append(person_id)


class Staff:
    """Two clinics; Anna and Ben are clinicians of the first."""

    def __init__(self) -> None:
        self.store, self.accounts, self.now = InMemoryStore(), Accounts(), START
        self.cached = CachedStaff(RecordedStaff(self.store), lambda: 0.0)
        metrics, tokens = IntakeMetrics(CollectorRegistry()), count(1)
        self.people = PeopleService(self.store, metrics, self.clock)
        self.service = StaffService(
            self.store,
            self.cached,
            metrics,
            self.clock,
            create_token=lambda: f"token {next(tokens)}",
            hash_token=lambda token: f"hash of {token}",
            remove_account=self.accounts.remove,
        )

    def clock(self) -> datetime:
        return self.now

    async def set_up(self) -> None:
        for clinic in (CLINIC, OTHER_CLINIC):
            await self.people.save_clinic(
                None, Clinic(clinic_id=clinic, name="Elm", time_zone="Europe/Berlin", crisis_contact="the desk")
            )
        for clinician_id in (ANNAS, BENS):
            await self.people.register_clinician(None, clinician_id, CLINIC, "a@example.org", "Europe/Berlin")

    async def save(self, person_id: UUID, *roles: AssignedRole, clinician_id: UUID | None = None) -> None:
        await self.service.save_person(ELM, Assignment(person_id, roles, clinician_id))

    async def roles_of(self, person_id: UUID) -> frozenset[AssignedRole]:
        return (await self.cached.of(ELM)).roles_of(person_id)


@pytest.fixture
async def staff() -> Staff:
    staff = Staff()
    await staff.set_up()
    return staff


async def test_requests_see_each_change_at_once_and_it_is_published(staff: Staff) -> None:
    assert await staff.roles_of(ANNA) == frozenset()

    await staff.save(ANNA, "clinician", clinician_id=ANNAS)
    assert await staff.roles_of(ANNA) == {"clinician"}
    await staff.save(CARLA, "administrator")
    await staff.service.remove_person(ELM, ANNA)

    assert await staff.roles_of(ANNA) == frozenset()
    assert [type(event).__name__ for event in staff.store.pending_events[-3:]] == ["StaffUpdated"] * 3


async def test_deputies_supervisors_and_the_lead_are_recorded(staff: Staff) -> None:
    await staff.save(ANNA, "clinician", clinician_id=ANNAS)
    await staff.save(BEN, "clinician", "supervisor", clinician_id=BENS)

    assert await staff.service.save_deputies(ELM, ANNAS, [deputy(BEN)]) == (deputy(BEN),)
    assert await staff.service.save_supervisors(ELM, ANNAS, [supervisor(BEN)]) == (supervisor(BEN),)
    await staff.service.save_lead(ELM, BEN)

    recorded = await staff.cached.of(ELM)
    assert recorded.deputized_clinicians(BEN, START) == {ANNAS}
    assert recorded.has_supervisor(ANNAS, START)
    assert recorded.supervised_clinicians(BEN, START) == "whole clinic"


async def test_what_belongs_to_another_clinic_is_unknown_and_its_ids_are_taken(staff: Staff) -> None:
    await staff.save(ANNA, "desk")
    elsewhere = Assignment(BEN, ("clinician",), ANNAS)

    with pytest.raises(NotFound, match="Clinician"):
        await staff.service.save_person(OAK, elsewhere)
    with pytest.raises(NotFound, match="Clinician"):
        await staff.service.save_deputies(OAK, ANNAS, [])
    with pytest.raises(NotFound, match="Clinician"):
        await staff.service.save_supervisors(OAK, ANNAS, [])
    with pytest.raises(NotFound, match="not on the staff"):
        await staff.service.invite(OAK, ANNA)
    with pytest.raises(NotFound, match="not on the staff"):
        await staff.service.remove_person(OAK, ANNA)
    with pytest.raises(IdTaken):
        await staff.service.save_person(OAK, Assignment(ANNA, ("administrator",), None))

    assert (await staff.cached.of(OAK)).people == ()
    assert await staff.roles_of(ANNA) == {"desk"}


async def test_an_unknown_clinic_has_no_staff(staff: Staff) -> None:
    unknown = ClinicId(uuid4())

    for request in (
        staff.service.save_person(unknown, Assignment(ANNA, ("desk",), None)),
        staff.service.remove_person(unknown, ANNA),
        staff.service.save_lead(unknown, None),
    ):
        with pytest.raises(NotFound, match="Clinic "):
            await request


async def test_a_link_invites_one_person_once(staff: Staff) -> None:
    await staff.save(ANNA, "desk")
    issued = await staff.service.invite(ELM, ANNA)

    assert issued.expires_at == START + timedelta(days=7)
    assert (await staff.service.find_invitee(issued.token)).person_id == ANNA
    accepted = await staff.service.accept_invitation(issued.token)

    assert (accepted.person_id, accepted.clinic_id, accepted.accepted_at) == (ANNA, CLINIC, START)
    for use in (staff.service.find_invitee, staff.service.accept_invitation):
        with pytest.raises(InvitationNotValid):
            await use(issued.token)


async def test_only_the_hash_of_a_link_is_stored(staff: Staff) -> None:
    await staff.save(ANNA, "desk")
    await staff.service.invite(ELM, ANNA)

    invitee = await staff.store.find_invitee("hash of token 1")

    assert invitee is not None
    assert "'token 1'" not in repr(invitee.model_dump())


async def test_a_new_invitation_ends_the_one_before(staff: Staff) -> None:
    await staff.save(ANNA, "desk")
    first, second = [await staff.service.invite(ELM, ANNA) for _ in range(2)]

    with pytest.raises(InvitationNotValid):
        await staff.service.accept_invitation(first.token)
    assert (await staff.service.accept_invitation(second.token)).person_id == ANNA


async def test_an_invitation_ends_after_seven_days(staff: Staff) -> None:
    await staff.save(ANNA, "desk")
    issued = await staff.service.invite(ELM, ANNA)

    staff.now += INVITATION_VALIDITY - timedelta(milliseconds=1)
    await staff.service.find_invitee(issued.token)
    staff.now += timedelta(milliseconds=1)
    with pytest.raises(InvitationNotValid):
        await staff.service.accept_invitation(issued.token)


async def test_somebody_who_is_removed_loses_the_invitation_and_the_account(staff: Staff) -> None:
    await staff.save(CARLA, "administrator")
    await staff.save(ANNA, "desk")
    issued = await staff.service.invite(ELM, ANNA)

    await staff.service.remove_person(ELM, ANNA)

    assert staff.accounts.removed == [ANNA]
    with pytest.raises(NotFound, match="not on the staff"):
        await staff.service.invite(ELM, ANNA)
    await staff.save(ANNA, "desk")
    with pytest.raises(InvitationNotValid):  # also for somebody who comes back
        await staff.service.accept_invitation(issued.token)


async def test_a_link_that_a_removal_left_open_is_worth_nothing(staff: Staff) -> None:
    """A crash between the two writes of a removal, or an invitation at the same moment."""
    await staff.save(CARLA, "administrator")
    await staff.save(ANNA, "desk")
    issued = await staff.service.invite(ELM, ANNA)
    before = await staff.store.invitees.get(ANNA)
    assert before is not None
    await staff.service.remove_person(ELM, ANNA)
    await staff.store.invitees.change(ANNA, lambda _: (before, ()))

    with pytest.raises(InvitationNotValid):
        await staff.service.accept_invitation(issued.token)


async def test_a_removal_that_failed_half_way_ends_the_roles_and_can_be_repeated(staff: Staff) -> None:
    await staff.save(CARLA, "administrator")
    await staff.save(ANNA, "desk")
    staff.accounts.is_available = False

    with pytest.raises(StoreUnavailable):
        await staff.service.remove_person(ELM, ANNA)
    assert await staff.roles_of(ANNA) == frozenset()

    staff.accounts.is_available = True
    await staff.service.remove_person(ELM, ANNA)
    assert staff.accounts.removed == [ANNA]


async def test_an_administrator_who_accepted_is_not_replaced_by_one_who_did_not(staff: Staff) -> None:
    await staff.save(CARLA, "administrator")
    await staff.service.accept_invitation((await staff.service.invite(ELM, CARLA)).token)
    await staff.save(ANNA, "administrator")
    issued = await staff.service.invite(ELM, ANNA)

    for request in (staff.service.remove_person(ELM, CARLA), staff.save(CARLA, "desk")):
        with pytest.raises(Rejected, match="last administrator"):
            await request

    await staff.service.accept_invitation(issued.token)
    await staff.save(CARLA, "desk")
    assert await staff.roles_of(CARLA) == {"desk"}


async def test_the_first_administrator_of_a_clinic_is_invited_until_the_invitation_is_accepted() -> None:
    """The clinic need not be known: its administrator adds it."""
    staff, ids = Staff(), iter([ANNA, BEN])

    first = await staff.service.invite_administrator(ELM, lambda: next(ids))
    second = await staff.service.invite_administrator(ELM, lambda: next(ids))
    accepted = await staff.service.accept_invitation(second.token)
    third = await staff.service.invite_administrator(ELM, lambda: next(ids))

    assert accepted.person_id == ANNA
    with pytest.raises(InvitationNotValid):
        await staff.service.accept_invitation(first.token)
    assert (await staff.service.accept_invitation(third.token)).person_id == BEN
    assert await staff.roles_of(ANNA) == await staff.roles_of(BEN) == {"administrator"}
