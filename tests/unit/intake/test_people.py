"""Clinicians and clients: which events are published, and which case codes are free."""

from datetime import timedelta
from uuid import uuid4

import pytest

from services.intake.domain.people import (
    CaseCodeAssignment,
    Client,
    Clinic,
    add_client,
    assign_case_code,
    register_clinician,
    save_clinic,
)
from shared.errors import IdTaken, Rejected
from shared.events import ClinicianRegistered, ClinicianUpdated, ClinicUpdated
from tests.support.intake_builders import ANNA, CLIENT, CLINIC, NOW, OTHER_CLINIC

CLINIC_RECORD = Clinic(clinic_id=CLINIC, name="Elm", time_zone="Europe/Berlin", crisis_contact="the desk, 030 112112")


def test_a_clinic_has_an_event_for_each_change_and_none_without() -> None:
    added, (first,) = save_clinic(None, CLINIC_RECORD, NOW)
    same, nothing = save_clinic(added, CLINIC_RECORD, NOW)
    changed, (second,) = save_clinic(added, CLINIC_RECORD.model_copy(update={"name": "Oak"}), NOW)

    assert (same, nothing) == (added, ())
    assert isinstance(second, ClinicUpdated)
    assert (second.name, second.id != first.id) == ("Oak", True)
    assert first.occurred_at == NOW
    assert second.occurred_at == changed.last_event_at == NOW + timedelta(milliseconds=1)


def test_a_clinic_that_was_stored_without_an_event_is_published_once() -> None:
    published, (event,) = save_clinic(CLINIC_RECORD, CLINIC_RECORD, NOW)

    assert event.key == CLINIC
    assert save_clinic(published, published, NOW) == (published, ())


def test_the_numbers_that_a_clinic_states_count_and_else_those_in_its_words() -> None:
    assert CLINIC_RECORD.numbers_to_call == ("030 112112",)
    for numbers in ((), ("112",)):
        assert CLINIC_RECORD.model_copy(update={"crisis_numbers": numbers}).numbers_to_call == numbers


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


def test_a_clinician_moves_to_another_clinic_only_without_open_relationships() -> None:
    elsewhere = ANNA.model_copy(update={"clinic_id": OTHER_CLINIC})

    with pytest.raises(Rejected, match="open relationships"):
        register_clinician(ANNA, elsewhere)
    moved, (event,) = register_clinician(ANNA, elsewhere, can_move=True)

    assert moved.clinic_id == OTHER_CLINIC
    assert isinstance(event, ClinicianUpdated)
    assert event.clinic_id == OTHER_CLINIC


def test_a_client_keeps_clinic_and_case_code() -> None:
    assert add_client(CLIENT, CLIENT) == (CLIENT, ())
    with pytest.raises(Rejected, match="another case code"):
        add_client(CLIENT, CLIENT.model_copy(update={"case_code": "ZZ-99"}))
    with pytest.raises(IdTaken):
        add_client(CLIENT, CLIENT.model_copy(update={"clinic_id": OTHER_CLINIC}))


def test_a_case_code_stands_for_one_client_of_a_clinic() -> None:
    assignment = CaseCodeAssignment(**CLIENT.model_dump())
    other_client = Client(client_id=uuid4(), clinic_id=CLINIC, case_code=CLIENT.case_code)

    assert assign_case_code(assignment, assignment) == (assignment, ())
    with pytest.raises(Rejected, match="another client"):
        assign_case_code(assignment, CaseCodeAssignment(**other_client.model_dump()))
    assert CaseCodeAssignment.document_id(CLINIC, "AB-12") != CaseCodeAssignment.document_id(uuid4(), "AB-12")
