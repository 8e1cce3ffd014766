"""The checker detects pending outbox entries, events without state, and projections that miss an event."""

from datetime import timedelta

import pytest

from tests.system.chaos.checker.clinics import COLLECTIONS
from tests.system.chaos.checker.staff import VIEWS
from tests.unit.system.chaos.checker.corruption import (
    CLINICS_CORRECT,
    EVENTS_HAVE_STATE,
    OUTBOX_EMPTY,
    PROJECTIONS_CURRENT,
    STAFF_CURRENT,
    Corruption,
    failed_checks_after,
)
from tests.unit.system.chaos.checker.recorded_requests import (
    CLINIC_ID,
    LAST_WEEK,
    MISSED_WEEK,
    NOW,
    RELATIONSHIP_ID,
    UNANSWERED_WEEK,
    Document,
    session_id,
    session_time,
)
from tests.unit.system.chaos.checker.recorded_run import RecordedRun


def test_a_pending_outbox_entry_is_detected() -> None:
    def add_outbox_entry(run: RecordedRun) -> None:
        run.document("sessions", "sessions", session_id(MISSED_WEEK))["owed"] = [{"id": CLINIC_ID}]

    assert failed_checks_after(add_outbox_entry) == [OUTBOX_EMPTY]


def remove_session_document(run: RecordedRun) -> None:
    run.databases["sessions"]["sessions"].pop(session_id(MISSED_WEEK))


def remove_outcome(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["outcome"] = None


def change_start(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["starts_at"] = session_time(1)


def remove_answer(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["feedback"]["client"]["status"] = "awaiting"


def change_answer(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(LAST_WEEK))["feedback"]["client"]["answer"]["ratings"]["fit"] = 9


def remove_lapse(run: RecordedRun) -> None:
    run.document("sessions", "sessions", session_id(UNANSWERED_WEEK))["feedback"]["client"]["status"] = "awaiting"


def remove_relationships(run: RecordedRun) -> None:
    run.databases["intake"]["relationships"].clear()


def remove_consents(run: RecordedRun) -> None:
    run.document("intake", "relationships", RELATIONSHIP_ID)["consents"] = []


def change_clinic(run: RecordedRun) -> None:
    run.document("intake", "clinics", CLINIC_ID)["last_event_at"] = NOW


@pytest.mark.parametrize(
    "corrupt",
    [
        change_clinic,
        remove_session_document,
        remove_outcome,
        change_start,
        remove_answer,
        change_answer,
        remove_lapse,
        remove_relationships,
        remove_consents,
    ],
)
def test_an_event_without_its_state_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [EVENTS_HAVE_STATE]


def remove_session_projection(run: RecordedRun) -> None:
    run.databases["sessions"]["relationships"].pop(RELATIONSHIP_ID)


def change_projected_consent(run: RecordedRun) -> None:
    run.document("sessions", "relationships", RELATIONSHIP_ID)["consent"] = False


def decrement_projected_version(run: RecordedRun) -> None:
    run.document("notify", "relationships", RELATIONSHIP_ID)["alliance_version"] -= 1


def add_projected_appointment(run: RecordedRun) -> None:
    appointment = {"session_id": CLINIC_ID, "starts_at": NOW + timedelta(days=1), "called_off": False}
    run.document("notify", "relationships", RELATIONSHIP_ID)["appointments"].append(appointment)


def remove_projected_clinic(run: RecordedRun) -> None:
    run.databases["sessions"]["clinics"].clear()


def change_projected_clinic(run: RecordedRun) -> None:
    run.document("sessions", "clinics", CLINIC_ID)["name"] = "Harbour"


@pytest.mark.parametrize(
    "corrupt",
    [
        remove_projected_clinic,
        change_projected_clinic,
        remove_session_projection,
        change_projected_consent,
        decrement_projected_version,
        add_projected_appointment,
    ],
)
def test_a_projection_that_misses_an_event_is_detected(corrupt: Corruption) -> None:
    assert failed_checks_after(corrupt) == [PROJECTIONS_CURRENT]


@pytest.mark.parametrize(("service", "collection"), VIEWS)
def test_staff_that_a_service_does_not_know_is_detected(service: str, collection: str) -> None:
    def remove_lead(run: RecordedRun) -> None:
        run.document(service, collection, CLINIC_ID)["lead"] = None

    assert failed_checks_after(lambda run: run.databases[service][collection].clear()) == [STAFF_CURRENT]
    assert failed_checks_after(remove_lead) == [STAFF_CURRENT]


@pytest.mark.parametrize(("service", "collection"), COLLECTIONS)
def test_a_document_without_its_clinic_or_with_another_one_is_detected(service: str, collection: str) -> None:
    def first_document(run: RecordedRun) -> Document:
        return next(iter(run.databases[service][collection].values()))

    assert failed_checks_after(lambda run: first_document(run).pop("clinic_id")) == [CLINICS_CORRECT]
    assert failed_checks_after(lambda run: first_document(run).update(clinic_id=NOW)) == [CLINICS_CORRECT]


def test_nothing_is_known_of_the_relationship_of_an_erased_client() -> None:
    def erase(run: RecordedRun) -> None:
        run.document("notify", "relationships", RELATIONSHIP_ID).update(clinic_id=None, erased=True)

    assert failed_checks_after(erase) == []
