"""The staff of a clinic in the database, on the topic, and the first invitation."""

import asyncio
from uuid import UUID, uuid4

import pytest
from prometheus_client import CollectorRegistry

from services.intake.domain.invitations import InvitationNotValid, Invitee
from services.intake.domain.people import Clinic
from services.intake.domain.staff import Assignment
from services.intake.metrics import IntakeMetrics
from services.intake.service.people import PeopleService
from services.intake.service.staff import RecordedStaff, StaffService
from services.intake.store.protocol import Store
from shared.access.clinic_id import ClinicId
from shared.errors import IdTaken, Rejected
from shared.events import StaffUpdated
from shared.events.topics import INTAKE
from shared.identity.secret_values import create_secret, hash_secret
from shared.staff.cache import CachedStaff
from tests.support.kafka_reader import read_events
from tests.support.mongo import open_mongo
from tests.support.service_process import ServiceRunner, wait_for_exit
from tests.support.serving import wait_until
from tests.support.staff_builders import ANNA, BEN, CLINIC, OTHER_CLINIC, START

pytestmark = pytest.mark.integration

ELM, OAK = ClinicId(CLINIC), ClinicId(OTHER_CLINIC)


@pytest.fixture
async def service(store: Store) -> StaffService:
    metrics = IntakeMetrics(CollectorRegistry())
    for clinic in (CLINIC, OTHER_CLINIC):
        await PeopleService(store, metrics, lambda: START).save_clinic(
            None, Clinic(clinic_id=clinic, name="Elm", time_zone="Europe/Berlin", crisis_contact="the desk")
        )
    cached = CachedStaff(RecordedStaff(store))
    return StaffService(store, cached, metrics, lambda: START, create_secret, hash_secret, _remove_account)


async def _remove_account(_person_id: UUID) -> None:
    """Nobody signs in."""


async def test_concurrent_changes_of_the_staff_are_all_made(store: Store, service: StaffService) -> None:
    people = [uuid4() for _ in range(8)]

    await asyncio.gather(*(service.save_person(ELM, Assignment(person, ("desk",), None)) for person in people))

    recorded = await RecordedStaff(store).find(ELM)
    assert {person.person_id for person in recorded.people} == set(people)
    assert (await RecordedStaff(store).find(OAK)).people == ()


async def test_of_two_administrators_who_remove_each_other_one_stays(store: Store, service: StaffService) -> None:
    for person in (ANNA, BEN):
        await service.save_person(ELM, Assignment(person, ("administrator",), None))

    results = await asyncio.gather(
        *(service.remove_person(ELM, person) for person in (ANNA, BEN)), return_exceptions=True
    )

    assert [type(result) for result in results if result] == [Rejected]
    assert len([1 for person in (await RecordedStaff(store).find(ELM)).people if not person.is_removed]) == 1


async def test_the_id_of_a_person_belongs_to_one_clinic(store: Store, service: StaffService) -> None:
    await service.save_person(ELM, Assignment(ANNA, ("desk",), None))

    with pytest.raises(IdTaken):
        await service.save_person(OAK, Assignment(ANNA, ("administrator",), None))

    assert (await RecordedStaff(store).find(OAK)).people == ()


async def test_a_link_is_used_once_even_by_two_at_the_same_moment(store: Store, service: StaffService) -> None:
    await service.save_person(ELM, Assignment(ANNA, ("desk",), None))
    token = (await service.invite(ELM, ANNA)).token

    results = await asyncio.gather(*(service.accept_invitation(token) for _ in range(2)), return_exceptions=True)

    assert {type(result) for result in results} == {Invitee, InvitationNotValid}
    assert await store.find_invitee(hash_secret(token)) is None


async def test_the_first_link_is_printed_and_never_logged(kafka_servers: str, mongodb_uri: str) -> None:
    async with open_mongo(mongodb_uri, "motor") as mongo:
        runner, clinic_id = ServiceRunner("intake", kafka_servers, mongodb_uri, mongo.database.name), uuid4()

        result = await runner.run_command("invite-administrator", str(clinic_id))

        assert result.exit_code == 0, result
        base, token = result.stdout.strip().rsplit("/", 1)
        assert base == "http://localhost:8000/invitations"
        assert token not in result.stderr
        stored = await mongo["invitations"].find_one({"invitation.token_hash": hash_secret(token)})
        assert stored is not None
        assert token not in str(stored)

        service = await runner.serve()
        events = list[object]()

        async def is_published() -> bool:
            events[:] = await read_events(kafka_servers, INTAKE, clinic_id)
            return bool(events)

        await wait_until(is_published, timeout_seconds=60)  # by the relay
        service.terminate()
        logged = await wait_for_exit(service)
        (event,) = events
        assert isinstance(event, StaffUpdated)
        assert (event.person_id, event.roles) == (stored["_id"], ("administrator",))
        assert token not in logged.stdout + logged.stderr


async def test_a_wrong_clinic_id_invites_nobody(kafka_servers: str, mongodb_uri: str) -> None:
    runner = ServiceRunner("intake", kafka_servers, mongodb_uri, f"test_{uuid4().hex}")

    result = await runner.run_command("invite-administrator", "our-clinic")

    assert (result.exit_code, result.stdout) == (2, "")
