"""What the intake desk enters: kept once, told once, and refused when it contradicts what is so."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from shared.events import (
    ClinicianRegistered,
    ClinicianUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
)
from shared.events.topics import INTAKE
from tests.support.intake_client import DAY, STARTED, Clinic, problem
from tests.support.kafka_reader import records
from tools.sandbox.servers.inspection import metric

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_clinician_is_told_once_and_again_when_what_others_know_changes(clinic: Clinic) -> None:
    await clinic.opens()

    for _ in range(2):
        assert (await clinic.registers()).status_code == 200
    await clinic.registers(contact="new@example.org")
    for _ in range(2):
        await clinic.registers(time_zone="Europe/Paris")

    registered, updated = await clinic.told(clinic.clinician, at_least=2)
    assert isinstance(registered, ClinicianRegistered)
    assert isinstance(updated, ClinicianUpdated)
    assert (registered.clinic_id, registered.time_zone) == (clinic.id, "Europe/Berlin")
    assert updated.time_zone == "Europe/Paris"


async def test_a_relationship_and_its_consent_are_told_under_its_own_key(clinic: Clinic) -> None:
    await clinic.works()

    started, consent_given = await clinic.told(clinic.relationship, at_least=2)
    assert isinstance(started, RelationshipStarted)
    assert isinstance(consent_given, ConsentGiven)
    assert started.model_dump(exclude={"id", "type"}) == {
        "relationship_id": clinic.relationship,
        "occurred_at": STARTED,
        "clinic_id": clinic.id,
        "clinician_id": clinic.clinician,
        "client_id": clinic.client,
        "case_code": "AB-12",
        "aims": ("relief", "coping"),
        "cadence_days": 7,
        "predecessor_id": None,
    }
    assert consent_given.occurred_at == STARTED


async def test_no_name_and_no_contact_leaves_intake(clinic: Clinic) -> None:
    await clinic.works()
    await clinic.told(clinic.relationship, at_least=2)

    published = b"".join(record.value for record in await records(clinic.kafka_servers, INTAKE) if record.value)
    responses = (await clinic.registers()).text + (await clinic.http.get(f"/relationships/{clinic.relationship}")).text

    for secret in ("example.org", "anna", "Clinic by the Lake", "030 112 112"):
        assert secret.encode() not in published
        assert secret not in responses


async def test_everything_sent_twice_is_told_once(clinic: Clinic) -> None:
    await clinic.works()
    await clinic.works()
    for _ in range(2):
        assert (await clinic.agrees(["loss"], STARTED + DAY)).status_code == 200
        assert (await clinic.consents(False, STARTED + 2 * DAY)).status_code == 200
        assert (await clinic.consents(True, STARTED + 3 * DAY)).status_code == 200
    for _ in range(2):
        assert (await clinic.ends("completed", STARTED + 9 * DAY)).status_code == 200
    await clinic.works()

    events = await clinic.told(clinic.relationship, at_least=6)
    assert [type(event) for event in events] == [
        RelationshipStarted,
        ConsentGiven,
        RelationshipAimsUpdated,
        ConsentWithdrawn,
        ConsentGiven,
        RelationshipEnded,
    ]
    assert [(event.occurred_at - STARTED) // DAY for event in events] == [0, 0, 1, 2, 3, 9]
    assert len({event.id for event in events}) == 6
    relationship = (await clinic.http.get(f"/relationships/{clinic.relationship}")).json()
    assert (relationship["aims"], relationship["consent"], relationship["end_reason"]) == (["loss"], True, "completed")


async def test_a_transfer_ends_one_relationship_and_starts_the_next(clinic: Clinic) -> None:
    ben_id, successor_id, at = uuid4(), uuid4(), STARTED + 30 * DAY
    await clinic.works()
    await clinic.registers(ben_id)
    await clinic.agrees(["loss"], STARTED + DAY)

    for _ in range(2):
        response = await clinic.transfers(ben_id, successor_id, at)
        assert response.status_code == 200
    assert (response.json()["ended"]["successor_id"], response.json()["started"]["relationship_id"]) == (
        str(successor_id),
    ) * 2

    *_, ended = await clinic.told(clinic.relationship, at_least=4)
    started, consent_given = await clinic.told(successor_id, at_least=2)
    assert isinstance(ended, RelationshipEnded)
    assert (ended.reason, ended.successor_id, ended.occurred_at) == ("transferred", successor_id, at)
    assert isinstance(started, RelationshipStarted)
    assert (started.predecessor_id, started.clinician_id) == (clinic.relationship, ben_id)
    assert (started.aims, started.occurred_at) == (("loss",), at)
    assert isinstance(consent_given, ConsentGiven)
    assert len(await clinic.told(clinic.relationship, at_least=4)) == 4


async def test_a_transfer_that_cannot_begin_does_not_end_anything(clinic: Clinic) -> None:
    other_clinic, other_clinician_id = Clinic(clinic.http, clinic.kafka_servers), uuid4()
    await clinic.works()
    await other_clinic.works()
    await clinic.registers(other_clinician_id, clinic_id=str(other_clinic.id))
    at = STARTED + DAY

    assert problem(await clinic.transfers(other_clinician_id, uuid4(), at), 409) == "clinician-of-another-clinic"
    assert problem(await clinic.transfers(uuid4(), uuid4(), at), 404) == "unknown-clinician"
    await clinic.registers(other_clinician_id)
    assert (
        problem(await clinic.transfers(other_clinician_id, other_clinic.relationship, at), 409) == "started-otherwise"
    )
    assert (await clinic.http.get(f"/relationships/{clinic.relationship}")).json()["ended_at"] is None


async def test_an_ended_relationship_refuses_what_comes_after(clinic: Clinic) -> None:
    ben_id, later = uuid4(), STARTED + 10 * DAY
    await clinic.works()
    await clinic.registers(ben_id)
    await clinic.ends("stopped_by_client", STARTED + 9 * DAY)

    for response in (
        await clinic.agrees(["loss"], later),
        await clinic.consents(False, later),
        await clinic.transfers(ben_id, uuid4(), later),
        await clinic.ends("completed", STARTED + 9 * DAY),
    ):
        assert problem(response, 409) == "relationship-ended"


async def test_a_contradiction_is_refused_and_says_what_is_so(clinic: Clinic) -> None:
    await clinic.works()

    assert problem(await clinic.admits(case_code="ZZ-99"), 409) == "other-case-code"
    assert problem(await clinic.admits(uuid4()), 409) == "case-code-taken"
    response = await clinic.starts(cadence_days=14)
    assert problem(response, 409) == "started-otherwise"
    assert "another cadence_days" in response.json()["detail"]
    assert problem(await clinic.consents(False, STARTED), 409) == "said-since"


async def test_a_clinician_or_client_of_another_clinic_is_refused(clinic: Clinic) -> None:
    other_clinic = Clinic(clinic.http, clinic.kafka_servers)
    await clinic.works()
    await other_clinic.works()

    overrides = {"clinician_id": str(other_clinic.clinician)}
    assert problem(await clinic.starts(uuid4(), **overrides), 409) == "clinician-of-another-clinic"
    overrides = {"client_id": str(other_clinic.client)}
    assert problem(await clinic.starts(uuid4(), **overrides), 409) == "client-of-another-clinic"
    assert problem(await clinic.admits(clinic_id=str(other_clinic.id)), 409) == "client-of-another-clinic"


async def test_what_is_unknown_is_named_with_what_to_do(clinic: Clinic) -> None:
    assert problem(await clinic.registers(), 404) == "unknown-clinic"
    assert problem(await clinic.admits(), 404) == "unknown-clinic"
    await clinic.opens()
    await clinic.registers()
    response = await clinic.starts()
    assert problem(response, 404) == "unknown-client"
    assert f"PUT /clients/{clinic.client}" in response.json()["detail"]
    await clinic.admits()
    assert problem(await clinic.starts(clinician_id=str(uuid4())), 404) == "unknown-clinician"
    assert problem(await clinic.starts(clinic_id=str(uuid4())), 404) == "unknown-clinic"
    assert problem(await clinic.agrees(["loss"], STARTED), 404) == "unknown-relationship"
    assert problem(await clinic.http.get(f"/relationships/{uuid4()}"), 404) == "unknown-relationship"
    assert problem(await clinic.http.get(f"/clinics/{uuid4()}/relationships"), 404) == "unknown-clinic"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("started_at", "2026-01-05T10:00:00"),
        ("aims", []),
        ("aims", ["relief", "relief"]),
        ("aims", ["happiness"]),
        ("cadence_days", 0),
        ("consent", None),
        ("note", "anxious since March"),
    ],
)
async def test_a_relationship_that_is_not_valid_is_refused_where_it_is_not(
    clinic: Clinic, field: str, value: Any
) -> None:
    await clinic.works()

    response = await clinic.starts(uuid4(), **{field: value})

    assert problem(response, 422) == "invalid-request"
    assert response.json()["errors"][0]["pointer"].startswith(f"/body/{field}")
    assert "anxious" not in response.text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time_zone", "Europe/Atlantis"),
        ("time_zone", "../etc/passwd"),
        ("time_zone", "europe/berlin"),
        ("contact", "call me"),
        ("contact", "a@b"),
    ],
)
async def test_a_clinician_that_is_not_valid_is_refused(clinic: Clinic, field: str, value: str) -> None:
    await clinic.opens()

    response = await clinic.registers(clinic.clinician, **{field: value})

    assert problem(response, 422) == "invalid-request"
    assert response.json()["errors"][0]["pointer"] == f"/body/{field}"
    assert value not in response.text


async def test_only_a_transfer_ends_a_relationship_as_transferred(clinic: Clinic) -> None:
    await clinic.works()

    assert problem(await clinic.ends("transferred", STARTED + DAY), 422) == "invalid-request"


async def test_what_is_said_to_have_happened_cannot_lie_in_the_future(clinic: Clinic) -> None:
    await clinic.works()
    tomorrow = datetime.now(UTC) + DAY

    assert problem(await clinic.starts(uuid4(), started_at=tomorrow.isoformat()), 409) == "in-the-future"
    assert problem(await clinic.ends("completed", tomorrow), 409) == "in-the-future"
    assert (await clinic.ends("completed", datetime.now(UTC) + timedelta(minutes=1))).status_code == 200


async def test_of_two_clients_who_get_the_same_code_at_once_one_keeps_it(clinic: Clinic) -> None:
    await clinic.opens()

    responses = await asyncio.gather(*(clinic.admits(uuid4(), case_code="SAME-1") for _ in range(8)))

    assert sorted(response.status_code for response in responses) == [200] + [409] * 7


async def test_of_two_transfers_at_once_one_takes_place(clinic: Clinic) -> None:
    clinician_ids = [uuid4() for _ in range(4)]
    await clinic.works()
    for clinician_id in clinician_ids:
        await clinic.registers(clinician_id)

    responses = await asyncio.gather(
        *(clinic.transfers(clinician_id, uuid4(), STARTED + DAY) for clinician_id in clinician_ids)
    )

    assert sorted(response.status_code for response in responses) == [200, 409, 409, 409]
    assert len((await clinic.listed())["relationships"]) == 2


async def test_the_same_start_from_many_at_once_is_one_start(clinic: Clinic) -> None:
    await clinic.works()
    relationship_id = uuid4()

    responses = await asyncio.gather(*(clinic.starts(relationship_id) for _ in range(8)))

    assert {response.status_code for response in responses} == {200}
    assert len(await clinic.told(relationship_id, at_least=2)) == 2


async def test_a_clinics_relationships_are_listed_page_by_page(clinic: Clinic) -> None:
    await clinic.works()
    for _ in range(4):
        await clinic.starts(uuid4())

    first = await clinic.listed(most=3)
    second = await clinic.listed(most=3, after=first["next"])

    relationships = [*first["relationships"], *second["relationships"]]
    assert (len(first["relationships"]), len(relationships), second["next"]) == (3, 5, None)
    assert len({relationship["relationship_id"] for relationship in relationships}) == 5


TELLS_OF_STARTS = r'attune_intake_events_total\{type="clinic.relationship.started.v1"\}'


async def test_changes_are_counted(clinic: Clinic) -> None:
    async def started() -> float:
        return metric((await clinic.http.get("/metrics")).text, TELLS_OF_STARTS)

    count_before = await started()  # the service answers other tests as well
    await clinic.works()

    assert await started() == count_before + 1
