"""A relationship depends on the events that occurred, not on how they arrived."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from services.sessions.domain.relationship import Relationship, evolve
from shared.events import (
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    Event,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
)

RELATIONSHIP = UUID(int=7)
STARTED_AT = datetime(2026, 3, 2, tzinfo=UTC)


def started(hours: int = 0, case_code: str = "AB-12", clinic: int = 1, clinician: int = 2) -> Event:
    return RelationshipStarted(
        id=uuid5(RELATIONSHIP, "started"),
        occurred_at=STARTED_AT + timedelta(hours=hours),
        relationship_id=RELATIONSHIP,
        clinic_id=UUID(int=clinic),
        clinician_id=UUID(int=clinician),
        client_id=UUID(int=3),
        case_code=case_code,
        aims=("coping",),
        cadence_days=7,
    )


def consent_event(event_type: type[ConsentGiven | ConsentWithdrawn], hours: int) -> Event:
    return event_type(
        id=uuid5(RELATIONSHIP, f"{event_type} {hours}"),
        occurred_at=STARTED_AT + timedelta(hours=hours),
        relationship_id=RELATIONSHIP,
    )


def ended(hours: int, correction: int = 0) -> Event:
    return RelationshipEnded(
        id=uuid5(RELATIONSHIP, "e"),
        occurred_at=STARTED_AT + timedelta(hours=hours),
        relationship_id=RELATIONSHIP,
        reason="other",
        correction=correction,
    )


def reopened(hours: int, correction: int = 1) -> Event:
    at = STARTED_AT + timedelta(hours=hours)
    return RelationshipReopened(
        id=uuid5(RELATIONSHIP, "r"), occurred_at=at, relationship_id=RELATIONSHIP, correction=correction
    )


def erased(hours: int) -> Event:
    at, client = STARTED_AT + timedelta(hours=hours), UUID(int=3)
    return ClientErased(id=uuid5(RELATIONSHIP, "x"), occurred_at=at, relationship_id=RELATIONSHIP, client_id=client)


HOURS = st.integers(0, 3)
EVENT_LISTS = st.lists(
    st.one_of(
        st.builds(started, HOURS, st.sampled_from(["AB-12", "ZZ-9"]), HOURS, HOURS),
        st.builds(consent_event, st.sampled_from([ConsentGiven, ConsentWithdrawn]), HOURS),
        st.builds(ended, HOURS, HOURS),
        st.builds(reopened, HOURS, HOURS),
        st.builds(erased, HOURS),
    ),
    max_size=8,
)


def fold(events: list[Event]) -> Relationship:
    return reduce(evolve, events, Relationship(relationship_id=RELATIONSHIP))


@given(events=EVENT_LISTS, data=st.data())
def test_the_order_of_arrival_and_repetition_do_not_matter(events: list[Event], data: st.DataObject) -> None:
    duplicates = data.draw(st.lists(st.sampled_from(events), max_size=4)) if events else []

    assert fold(data.draw(st.permutations(events + duplicates))) == fold(events)


def test_of_two_starts_the_same_one_counts_in_any_order() -> None:
    first, last, same_moment = started(0, "ZZ-9"), started(1, "AB-12"), started(1, "AB-13")

    for events in ([first, last, same_moment], [same_moment, last, first], [last, same_moment, first]):
        assert fold(events).case_code == "AB-13"


def test_clinic_and_clinician_come_from_the_start() -> None:
    relationship = fold([ended(3), started(clinic=4, clinician=5)])

    assert (relationship.clinic_id, relationship.clinician_id) == (UUID(int=4), UUID(int=5))


def test_the_same_start_fills_in_what_an_older_version_did_not_store() -> None:
    """Older versions stored no clinician, and those before no clinic."""
    relationship = fold([started(), consent_event(ConsentGiven, 1)])
    without_clinician = relationship.model_copy(update={"clinician_id": None})
    without_clinic = without_clinician.model_copy(update={"clinic_id": None})

    assert evolve(without_clinician, started()) == evolve(without_clinic, started()) == relationship


def test_an_end_that_was_taken_back_does_not_count_until_it_is_recorded_anew() -> None:
    assert fold([reopened(2), ended(1)]).ended_at is None
    assert fold([ended(3, correction=2), reopened(2), ended(1)]).ended_at == STARTED_AT + timedelta(hours=3)


def test_the_newest_consent_event_counts() -> None:
    given_first, withdrawn_later = consent_event(ConsentGiven, 1), consent_event(ConsentWithdrawn, 2)

    assert not fold([started(), withdrawn_later, given_first]).consent
    assert fold([started(), withdrawn_later, consent_event(ConsentGiven, 3)]).consent


def test_without_a_consent_event_there_is_no_consent() -> None:
    assert not fold([started()]).consent


def test_only_the_erasure_of_an_erased_client_is_known() -> None:
    relationship = fold([erased(1), started(), consent_event(ConsentGiven, 2), ended(3)])

    assert relationship == Relationship(relationship_id=RELATIONSHIP, erased_at=STARTED_AT + timedelta(hours=1))
