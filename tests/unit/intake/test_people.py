"""Clinicians and clients: which events are published, and which case codes are free."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.intake.domain.people import CaseCodeAssignment, Client, add_client, assign_case_code, register_clinician
from shared.errors import Rejected
from shared.events import ClinicianRegistered, ClinicianUpdated
from tests.support.intake_builders import ANNA, CLIENT, CLINIC, NOW


def test_the_event_about_a_clinician_contains_no_contact() -> None:
    _, (event,) = register_clinician(None, ANNA)

    assert isinstance(event, ClinicianRegistered)
    assert "example.org" not in event.model_dump_json()


def test_a_new_contact_is_stored_and_gives_no_event() -> None:
    after, events = register_clinician(
        ANNA, ANNA.model_copy(update={"contact": "new@example.org", "last_event_at": NOW})
    )

    assert (after.contact, events) == ("new@example.org", ())


def test_two_updates_within_one_millisecond_occur_one_after_the_other() -> None:
    updated, (first,) = register_clinician(ANNA, ANNA.model_copy(update={"time_zone": "Europe/Paris"}))
    _, (second,) = register_clinician(updated, ANNA)

    assert isinstance(second, ClinicianUpdated)
    assert ANNA.last_event_at < first.occurred_at < second.occurred_at
    assert first.occurred_at == ANNA.last_event_at + timedelta(milliseconds=1)
    assert first.id != second.id


def test_a_client_keeps_clinic_and_case_code() -> None:
    assert add_client(CLIENT, CLIENT) == (CLIENT, ())
    for update in ({"case_code": "ZZ-99"}, {"clinic_id": uuid4()}):
        with pytest.raises(Rejected):
            add_client(CLIENT, CLIENT.model_copy(update=update))


def test_a_case_code_stands_for_one_client_of_a_clinic() -> None:
    assignment = CaseCodeAssignment(**CLIENT.model_dump())
    other_client = Client(client_id=uuid4(), clinic_id=CLINIC, case_code=CLIENT.case_code)

    assert assign_case_code(assignment, assignment) == (assignment, ())
    with pytest.raises(Rejected, match="another client"):
        assign_case_code(assignment, CaseCodeAssignment(**other_client.model_dump()))
    assert CaseCodeAssignment.document_id(CLINIC, "AB-12") != CaseCodeAssignment.document_id(uuid4(), "AB-12")
