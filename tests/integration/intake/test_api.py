"""The intake API: a change is stored and published once."""

import asyncio
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient

from services.intake.app import create_app
from shared.events import (
    ClinicianRegistered,
    ClinicianUpdated,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
)
from shared.events.topics import INTAKE
from tests.support.intake_client import DAY, STARTED_AT, IntakeClient, make_csv, make_settings, problem_code
from tests.support.kafka_reader import read_records
from tests.support.serving import ServiceClient, run_app
from tools.sandbox.servers.inspection import metric_value

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

STARTED_EVENTS_METRIC = r'attune_intake_events_total\{type="clinic.relationship.started.v1"\}'


async def test_a_clinician_is_published_once_and_again_after_a_change_of_published_fields(clinic: IntakeClient) -> None:
    await clinic.save_clinic()

    for _ in range(2):
        assert (await clinic.register_clinician()).status_code == 200
    await clinic.register_clinician(contact="new@example.org")
    for _ in range(2):
        await clinic.register_clinician(time_zone="Europe/Paris")

    registered, updated = await clinic.wait_for_events(clinic.clinician_id, at_least=2)
    assert isinstance(registered, ClinicianRegistered)
    assert isinstance(updated, ClinicianUpdated)
    assert (registered.clinic_id, registered.time_zone) == (clinic.clinic_id, "Europe/Berlin")
    assert updated.time_zone == "Europe/Paris"


async def test_a_clinic_is_published_once_and_again_after_a_change(clinic: IntakeClient) -> None:
    for _ in range(2):
        assert (await clinic.save_clinic()).status_code == 200
    for _ in range(2):
        changed = await clinic.save_clinic(
            crisis_contact="the duty desk", crisis_numbers=["+49 (0)30 23125-000", "112"]
        )

    first, second = await clinic.wait_for_events(clinic.clinic_id, at_least=2)
    assert isinstance(first, ClinicUpdated)
    assert isinstance(second, ClinicUpdated)
    assert first.model_dump(exclude={"id", "type", "occurred_at"}) == {
        "clinic_id": clinic.clinic_id,
        "name": "Clinic by the Lake",
        "time_zone": "Europe/Berlin",
        "crisis_contact": "030 112 112",
        "crisis_numbers": ("030 112 112",),
    }
    assert (second.crisis_contact, second.crisis_numbers) == ("the duty desk", ("+49 (0)30 23125-000", "112"))
    assert first.occurred_at < second.occurred_at
    assert changed.json() == second.model_dump(mode="json", exclude={"id", "type", "occurred_at"})


@pytest.mark.parametrize("numbers", [["call us"], ["1"], ["1" * 16], ["112"] * 6, ["tel:112"]])
async def test_a_crisis_number_that_cannot_be_called_is_rejected(clinic: IntakeClient, numbers: list[str]) -> None:
    response = await clinic.save_clinic(crisis_numbers=numbers)

    assert problem_code(response, 422) == "invalid-request"


async def test_a_clinic_that_an_older_version_stored_is_published_at_the_start(
    kafka_servers: str, mongodb_uri: str
) -> None:
    settings, clinic_id = make_settings(kafka_servers, mongodb_uri), uuid4()
    async with AsyncMongoClient[dict[str, object]](mongodb_uri, uuidRepresentation="standard") as mongo:
        await mongo[settings.mongodb_database]["clinics"].insert_one(
            {
                "_id": clinic_id,
                "clinic_id": clinic_id,
                "name": "Clinic by the Lake",
                "time_zone": "Europe/Berlin",
                "crisis_contact": "the duty desk, 030 112 112",
                "v": 1,
            }
        )
    for _ in range(2):
        async with run_app(create_app(settings)) as http:
            clinic = IntakeClient(http, kafka_servers, clinic_id)
            (published,) = await clinic.wait_for_events(clinic_id, at_least=1)
            assert (await clinic.save_clinic(crisis_contact="the duty desk, 030 112 112")).status_code == 200

    assert isinstance(published, ClinicUpdated)
    assert (published.name, published.crisis_numbers) == ("Clinic by the Lake", ("030 112 112",))
    assert len(await clinic.wait_for_events(clinic_id, at_least=1)) == 1


async def test_a_relationship_and_its_consent_are_published_under_its_key(clinic: IntakeClient) -> None:
    await clinic.set_up()

    started, consent_given = await clinic.wait_for_events(clinic.relationship_id, at_least=2)
    assert isinstance(started, RelationshipStarted)
    assert isinstance(consent_given, ConsentGiven)
    assert started.model_dump(exclude={"id", "type"}) == {
        "relationship_id": clinic.relationship_id,
        "occurred_at": STARTED_AT,
        "clinic_id": clinic.clinic_id,
        "clinician_id": clinic.clinician_id,
        "client_id": clinic.client_id,
        "case_code": "AB-12",
        "aims": ("relief", "coping"),
        "cadence_days": 7,
        "predecessor_id": None,
    }
    assert consent_given.occurred_at == STARTED_AT


async def test_no_name_and_no_contact_of_a_person_leaves_intake(clinic: IntakeClient) -> None:
    await clinic.set_up()
    await clinic.wait_for_events(clinic.relationship_id, at_least=2)

    published = b"".join(record.value for record in await read_records(clinic.kafka_servers, INTAKE) if record.value)
    responses = (await clinic.register_clinician()).text + (
        await clinic.http.get(f"/relationships/{clinic.relationship_id}")
    ).text

    for secret in ("example.org", "anna"):
        assert secret.encode() not in published
        assert secret not in responses


async def test_everything_sent_twice_is_published_once(clinic: IntakeClient) -> None:
    await clinic.set_up()
    await clinic.set_up()
    for _ in range(2):
        assert (await clinic.update_aims(["loss"], STARTED_AT + DAY)).status_code == 200
        assert (await clinic.change_consent(False, STARTED_AT + 2 * DAY)).status_code == 200
        assert (await clinic.change_consent(True, STARTED_AT + 3 * DAY)).status_code == 200
    for _ in range(2):
        assert (await clinic.end_relationship("completed", STARTED_AT + 9 * DAY)).status_code == 200
    await clinic.set_up()

    events = await clinic.wait_for_events(clinic.relationship_id, at_least=6)
    assert [type(event) for event in events] == [
        RelationshipStarted,
        ConsentGiven,
        RelationshipAimsUpdated,
        ConsentWithdrawn,
        ConsentGiven,
        RelationshipEnded,
    ]
    assert [(event.occurred_at - STARTED_AT) // DAY for event in events] == [0, 0, 1, 2, 3, 9]
    assert len({event.id for event in events}) == 6
    relationship = (await clinic.http.get(f"/relationships/{clinic.relationship_id}")).json()
    assert (relationship["aims"], relationship["consent"], relationship["end_reason"]) == (["loss"], True, "completed")


async def test_a_transfer_ends_one_relationship_and_starts_the_next(clinic: IntakeClient) -> None:
    ben_id, successor_id, at = uuid4(), uuid4(), STARTED_AT + 30 * DAY
    await clinic.set_up()
    await clinic.register_clinician(ben_id)
    await clinic.update_aims(["loss"], STARTED_AT + DAY)

    for _ in range(2):
        response = await clinic.transfer_relationship(ben_id, successor_id, at)
        assert response.status_code == 200
    assert (response.json()["ended"]["successor_id"], response.json()["started"]["relationship_id"]) == (
        str(successor_id),
    ) * 2

    *_, ended = await clinic.wait_for_events(clinic.relationship_id, at_least=4)
    started, consent_given = await clinic.wait_for_events(successor_id, at_least=2)
    assert isinstance(ended, RelationshipEnded)
    assert (ended.reason, ended.successor_id, ended.occurred_at) == ("transferred", successor_id, at)
    assert isinstance(started, RelationshipStarted)
    assert (started.predecessor_id, started.clinician_id) == (clinic.relationship_id, ben_id)
    assert (started.aims, started.occurred_at) == (("loss",), at)
    assert isinstance(consent_given, ConsentGiven)
    assert len(await clinic.wait_for_events(clinic.relationship_id, at_least=4)) == 4


async def test_only_one_of_several_concurrent_clients_gets_the_same_case_code(clinic: IntakeClient) -> None:
    await clinic.save_clinic()

    responses = await asyncio.gather(*(clinic.add_client(uuid4(), case_code="SAM-1") for _ in range(8)))

    assert sorted(response.status_code for response in responses) == [200] + [409] * 7


async def test_only_one_of_several_concurrent_transfers_succeeds(clinic: IntakeClient) -> None:
    clinician_ids = [uuid4() for _ in range(4)]
    await clinic.set_up()
    for clinician_id in clinician_ids:
        await clinic.register_clinician(clinician_id)

    responses = await asyncio.gather(
        *(clinic.transfer_relationship(clinician_id, uuid4(), STARTED_AT + DAY) for clinician_id in clinician_ids)
    )

    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409]
    assert len((await clinic.list_relationships())["relationships"]) == 2


async def test_concurrent_identical_starts_are_published_once(clinic: IntakeClient) -> None:
    for request in (clinic.save_clinic, clinic.register_clinician, clinic.add_client):
        await request()
    relationship_id = uuid4()

    responses = await asyncio.gather(*(clinic.start_relationship(relationship_id) for _ in range(8)))

    assert {response.status_code for response in responses} == {200}
    assert len(await clinic.wait_for_events(relationship_id, at_least=2)) == 2


async def test_of_parallel_starts_of_the_same_two_people_one_succeeds(clinic: IntakeClient) -> None:
    await clinic.save_clinic()
    await clinic.register_clinician()
    await clinic.add_client()
    row = clinic.make_row(1, client_id=str(clinic.client_id), case_code="AB-12")

    responses = await asyncio.gather(
        clinic.import_caseload(make_csv([row])), *(clinic.start_relationship(uuid4()) for _ in range(6))
    )

    assert sorted(response.status_code for response in responses).count(200) == 1
    assert {response.status_code for response in responses} <= {200, 409, 422}
    assert len((await clinic.list_relationships())["relationships"]) == 1


async def test_a_clinics_relationships_are_listed_page_by_page(clinic: IntakeClient) -> None:
    await clinic.set_up()
    for clinician_id in [uuid4() for _ in range(4)]:
        await clinic.register_clinician(clinician_id)
        await clinic.start_relationship(uuid4(), clinician_id=str(clinician_id))

    first = await clinic.list_relationships(most=3)
    second = await clinic.list_relationships(most=3, after=first["next"])

    relationships = [*first["relationships"], *second["relationships"]]
    assert (len(first["relationships"]), len(relationships), second["next"]) == (3, 5, None)
    assert len({relationship["relationship_id"] for relationship in relationships}) == 5


async def test_changes_are_counted(clinic: IntakeClient, service: ServiceClient) -> None:
    async def started_count() -> float:
        return metric_value((await service.get_ops("/metrics")).text, STARTED_EVENTS_METRIC)

    count_before = await started_count()  # the service answers other tests as well
    await clinic.set_up()

    assert await started_count() == count_before + 1
