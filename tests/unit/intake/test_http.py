"""The HTTP API of intake on a store in memory: what the desk and clinic systems may send."""

from itertools import islice
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from services.intake.domain.case_codes import choose_case_codes
from services.intake.domain.people import CaseCodeAssignment, Client
from services.intake.domain.relationships import MAX_AGREEMENTS, MAX_CONSENTS_GIVEN
from services.intake.http.api import ConsentBody
from services.intake.store.memory import InMemoryStore
from tests.support.intake_client import DAY, STARTED_AT, IntakeClient, make_csv, problem_code, row_errors

HOUR = DAY / 24


@pytest.mark.parametrize("zone", ["localtime", "Factory"])
async def test_a_time_zone_is_a_place_and_not_where_the_server_stands(clinic: IntakeClient, zone: str) -> None:
    body = {"name": "Elm", "crisis_contact": "the desk", "time_zone": zone}

    assert problem_code(await clinic.put(f"/clinics/{uuid4()}", **body), 422) == "invalid-request"
    assert problem_code(await clinic.register_clinician(time_zone=zone), 422) == "invalid-request"


async def test_a_list_of_relationships_has_at_most_a_hundred_on_a_page(clinic: IntakeClient) -> None:
    (await clinic.import_caseload(make_csv([clinic.make_row(number) for number in range(100)]))).raise_for_status()

    first = await clinic.list_relationships()
    second = await clinic.list_relationships(after=first["next"])
    too_many = await clinic.http.get(f"/clinics/{clinic.clinic_id}/relationships", params={"most": 101})

    assert [len(page["relationships"]) for page in (first, second)] == [100, 1]
    assert second["next"] is None
    assert problem_code(too_many, 422) == "invalid-request"


async def test_a_rejection_does_not_tell_what_is_stored(clinic: IntakeClient) -> None:
    given_at, agreed_at, ended_at = (STARTED_AT + days * DAY for days in (2, 3, 4))
    (await clinic.change_consent(False, given_at)).raise_for_status()
    (await clinic.update_aims(["loss"], agreed_at)).raise_for_status()

    rejected = [
        await clinic.add_client(case_code="ZZ-99"),
        await clinic.change_consent(False, STARTED_AT + DAY),
        await clinic.update_aims(["coping"], STARTED_AT + DAY),
        await clinic.change_consent(True, STARTED_AT - DAY),
    ]
    (await clinic.end_relationship("stopped_by_client", ended_at)).raise_for_status()
    rejected.append(await clinic.update_aims(["coping"], ended_at))

    for response in rejected:
        assert response.status_code == 409
        for stored in (STARTED_AT, given_at, agreed_at, ended_at):
            assert stored.isoformat()[:10] not in response.text
        for stored_text in ("AB-12", "withdrawn", "stopped_by_client"):
            assert stored_text not in response.text


@pytest.mark.parametrize("number", ["1_4", "+7", "٧", "7.0", True])
async def test_a_whole_number_is_written_in_digits(clinic: IntakeClient, number: Any) -> None:
    response = await clinic.start_relationship(uuid4(), cadence_days=number)
    assert problem_code(response, 422) == "invalid-request"
    row = clinic.make_row(1, cadence_days=str(number))
    assert row_errors(await clinic.import_caseload(make_csv([row]))) == ["/rows/2/cadence_days"]
    page = await clinic.http.get(f"/clinics/{clinic.clinic_id}/relationships", params={"most": number})
    assert problem_code(page, 422) == "invalid-request"


@pytest.mark.parametrize(
    "text",
    [
        "\u0000",
        "Elm\u0007",
        "Elm\r\nTree",
        "Elm \u202egnitset",
        "\u2066Elm",
        "Elm\u200e",
        "\u200d",
        "El\u00adm",
        "Elm\u2028Tree",
        "\ufeffElm",
    ],
)
async def test_invisible_characters_in_a_name_are_rejected(clinic: IntakeClient, text: str) -> None:
    for field in ("name", "crisis_contact"):
        body = {"name": "Elm", "crisis_contact": "the desk", "time_zone": "Europe/Berlin", field: text}
        response = await clinic.put(f"/clinics/{clinic.clinic_id}", **body)
        assert problem_code(response, 422) == "invalid-request"
        assert response.json()["errors"][0]["pointer"] == f"/body/{field}"


async def test_invisible_characters_in_an_address_are_rejected(clinic: IntakeClient) -> None:
    for character in "\u0000\u0007\u202e\u200e\ufeff":
        response = await clinic.register_clinician(contact=f"a{character}b@example.org")
        assert problem_code(response, 422) == "invalid-request"


@pytest.mark.parametrize("name", ["Praxis Müller & Söhne", "מרפאה", "می\u200cخواهم", "诊所", "Zoë's"])
async def test_names_of_all_languages_are_accepted(clinic: IntakeClient, name: str) -> None:
    body = {"name": name, "crisis_contact": "the desk", "time_zone": "Europe/Berlin"}

    assert (await clinic.put(f"/clinics/{clinic.clinic_id}", **body)).json()["name"] == name


async def test_a_case_code_that_identifies_somebody_is_refused_with_the_reason(clinic: IntakeClient) -> None:
    for case_code in ("ANNA-MUELLER", "1980-01-31"):
        response = await clinic.add_client(uuid4(), case_code)

        assert problem_code(response, 422) == "case-code-identifies"
        assert "Attune chooses one" in response.json()["detail"]
        row = clinic.make_row(1, case_code=case_code)
        assert row_errors(await clinic.import_caseload(make_csv([row]))) == ["/rows/2/case_code"]


async def test_a_case_code_that_a_client_has_already_is_accepted_for_ever(
    clinic: IntakeClient, store: InMemoryStore
) -> None:
    client = Client(client_id=uuid4(), clinic_id=clinic.clinic_id, case_code="ANNA-MUELLER")
    store.clients.put(client.client_id, client)
    assignment = CaseCodeAssignment(**client.model_dump())
    store.case_codes.put(CaseCodeAssignment.document_id(client.clinic_id, client.case_code), assignment)

    assert (await clinic.add_client(client.client_id, client.case_code)).status_code == 200
    row = clinic.make_row(1, client_id=str(client.client_id), case_code=client.case_code)
    assert (await clinic.import_caseload(make_csv([row]))).json()["started"] == 1


async def test_the_server_chooses_a_case_code_if_there_is_none(clinic: IntakeClient) -> None:
    client_ids = [uuid4() for _ in range(20)]
    body = {"clinic_id": str(clinic.clinic_id)}

    codes = [(await clinic.put(f"/clients/{i}", **body)).json()["case_code"] for i in client_ids]

    assert len(set(codes)) == len(codes)
    assert [(await clinic.put(f"/clients/{i}", **body)).json()["case_code"] for i in client_ids] == codes
    assert (await clinic.put(f"/clients/{clinic.client_id}", **body)).json()["case_code"] == "AB-12"


async def test_a_chosen_case_code_that_is_taken_gives_another_one(clinic: IntakeClient) -> None:
    client_id = uuid4()
    first_choice, second_choice = islice(choose_case_codes(client_id), 2)
    await clinic.add_client(uuid4(), first_choice)

    response = await clinic.put(f"/clients/{client_id}", clinic_id=str(clinic.clinic_id))

    assert response.json()["case_code"] == second_choice


async def test_consent_ticked_by_mistake_can_be_withdrawn_as_of_the_start(clinic: IntakeClient) -> None:
    started_at = (await clinic.http.get(f"/relationships/{clinic.relationship_id}")).json()["started_at"]
    path = f"/relationships/{clinic.relationship_id}/consent"

    for _ in range(2):
        response = await clinic.put(path, given=False, at=started_at)
        assert (response.status_code, response.json()["consent"]) == (200, False)
    assert (await clinic.put(path, given=True, at=started_at)).json()["consent"] is False


async def test_the_same_two_people_cannot_be_started_twice(clinic: IntakeClient) -> None:
    second = await clinic.start_relationship(uuid4())

    assert problem_code(second, 409) == "already-together"
    assert str(clinic.relationship_id) in second.json()["detail"]
    assert (await clinic.start_relationship()).status_code == 200, "a repeated request"

    row = clinic.make_row(1, client_id=str(clinic.client_id), case_code="AB-12")
    response = await clinic.import_caseload(make_csv([row]))
    assert row_errors(response) == ["/rows/2/relationship_id"]
    assert str(clinic.relationship_id) in response.json()["errors"][0]["detail"]


async def test_a_client_may_work_with_several_clinicians_and_begin_anew_after_an_end(clinic: IntakeClient) -> None:
    ben_id, with_ben = uuid4(), uuid4()
    await clinic.register_clinician(ben_id)
    assert (await clinic.start_relationship(with_ben, clinician_id=str(ben_id))).status_code == 200

    transfer = await clinic.transfer_relationship(ben_id, uuid4(), STARTED_AT + DAY)
    assert problem_code(transfer, 409) == "already-together"
    assert str(with_ben) in transfer.json()["detail"]

    (await clinic.end_relationship("completed", STARTED_AT + DAY)).raise_for_status()
    again = await clinic.start_relationship(uuid4(), started_at=(STARTED_AT + 2 * DAY).isoformat())
    assert again.status_code == 200


@pytest.mark.parametrize("consent", ["yes", "false", 1, 0])
def test_consent_is_true_or_false_and_nothing_that_could_be_taken_for_it(consent: object) -> None:
    with pytest.raises(ValidationError, match="valid boolean"):
        ConsentBody.model_validate({"given": consent, "at": "2026-11-28T10:00:00Z"})


async def test_new_aims_are_refused_beyond_what_a_relationship_ever_needs(clinic: IntakeClient) -> None:
    moments = [STARTED_AT + hours * HOUR for hours in range(1, MAX_AGREEMENTS + 1)]

    *accepted, refused = [await clinic.update_aims(["loss"], agreed_at) for agreed_at in moments]

    assert {response.status_code for response in accepted} == {200}
    assert problem_code(refused, 409) == "too-many-agreements"
    assert (await clinic.update_aims(["loss"], moments[0])).status_code == 200, "a repeated request"


async def test_consent_is_refused_beyond_what_a_client_ever_changes_and_its_withdrawal_never(
    clinic: IntakeClient,
) -> None:
    for number in range(1, MAX_CONSENTS_GIVEN):
        assert (await clinic.change_consent(False, STARTED_AT + 2 * number * HOUR)).status_code == 200
        assert (await clinic.change_consent(True, STARTED_AT + (2 * number + 1) * HOUR)).status_code == 200
    last_given_at = STARTED_AT + (2 * MAX_CONSENTS_GIVEN - 1) * HOUR

    assert (await clinic.change_consent(False, last_given_at + HOUR)).json()["consent"] is False
    refused = await clinic.change_consent(True, last_given_at + 2 * HOUR)
    assert problem_code(refused, 409) == "too-many-consents"
    for given, at in ((True, last_given_at), (False, last_given_at + HOUR), (False, last_given_at + 3 * HOUR)):
        repeated = await clinic.change_consent(given, at)
        assert (repeated.status_code, repeated.json()["consent"]) == (200, False)
