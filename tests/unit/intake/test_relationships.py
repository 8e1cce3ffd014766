"""Relationships: the changes that are accepted, their events, and the changes that are rejected."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from services.intake.domain.people import Client
from services.intake.domain.relationship import (
    AimsAgreement,
    Consent,
    End,
    Relationship,
)
from services.intake.domain.relationships import (
    Decision,
    change_consent,
    end_for_transfer,
    end_relationship,
    start_successor,
    update_aims,
)
from shared.errors import Rejected
from shared.events import ConsentGiven, ConsentWithdrawn, RelationshipEnded, RelationshipStarted
from tests.support.intake_builders import (
    ANNA,
    BEN,
    CLIENT,
    CLINIC,
    DAY,
    NOW,
    OTHER_CLINIC,
    RELATIONSHIP,
    STARTED,
    decide_start,
    make_clinician,
    make_relationship,
)

DecideChange = Callable[[Relationship], Decision]


def consent_given(at_day: int) -> Consent:
    return Consent(given=True, at=STARTED + at_day * DAY)


def consent_withdrawn(at_day: int) -> Consent:
    return Consent(given=False, at=STARTED + at_day * DAY)


def ended_relationship(at_day: int = 40) -> Relationship:
    return end_relationship(make_relationship(), End(reason="completed", at=STARTED + at_day * DAY), NOW)[0]


def test_a_start_with_consent_gives_an_event_for_each() -> None:
    _, events = decide_start()

    assert [type(event) for event in events] == [RelationshipStarted, ConsentGiven]
    assert {event.occurred_at for event in events} == {STARTED}


def test_a_start_without_consent_gives_no_consent_event() -> None:
    after, events = decide_start(consent=False)

    assert [type(event) for event in events] == [RelationshipStarted]
    assert not after.consent


def test_a_repeated_start_changes_nothing_even_after_later_changes() -> None:
    later = update_aims(
        ended_relationship().model_copy(update={"end": None}),
        AimsAgreement(aims=("loss",), agreed_at=STARTED + DAY),
        NOW,
    )[0]
    later = change_consent(later, consent_withdrawn(2), NOW)[0]

    assert decide_start(before=later) == (later, ())
    assert decide_start(before=later, clinician=None) == (later, ())  # the clinician has moved since


def test_a_different_start_is_rejected_with_the_fields_that_differ() -> None:
    with pytest.raises(Rejected, match="another cadence_days, consent") as rejected:
        decide_start(before=make_relationship(), cadence_days=14, consent=False)

    assert rejected.value.code == "started-otherwise"


@pytest.mark.parametrize(
    ("code", "decide"),
    [
        ("unknown-clinician", lambda: decide_start(clinician=make_clinician(clinic_id=OTHER_CLINIC))),
        ("unknown-clinician", lambda: decide_start(clinician=None)),
        (
            "unknown-client",
            lambda: decide_start(client=Client(client_id=CLIENT.client_id, clinic_id=OTHER_CLINIC, case_code="AB-12")),
        ),
        ("in-the-future", lambda: decide_start(started_at=NOW + timedelta(minutes=6))),
    ],
)
def test_an_impossible_start_is_rejected(code: str, decide: Callable[[], Decision]) -> None:
    with pytest.raises(Rejected) as rejected:
        decide()

    assert rejected.value.code == code


def test_a_clock_that_is_slightly_ahead_is_tolerated() -> None:
    assert decide_start(started_at=NOW + timedelta(minutes=4))[1]


def test_every_consent_change_gives_an_event_with_its_own_reproducible_id() -> None:
    after, (first,) = change_consent(make_relationship(), consent_withdrawn(3), NOW)
    after, (second,) = change_consent(after, consent_given(9), NOW)

    assert [type(first), type(second)] == [ConsentWithdrawn, ConsentGiven]
    assert len({event.id for event in (*decide_start()[1], first, second)}) == 4
    assert change_consent(make_relationship(), consent_withdrawn(3), NOW)[1] == (first,)


def test_a_consent_that_changes_nothing_gives_no_event() -> None:
    assert change_consent(make_relationship(), consent_given(5), NOW) == (make_relationship(), ())
    assert change_consent(make_relationship(consent=False), consent_withdrawn(5), NOW) == (
        make_relationship(consent=False),
        (),
    )


def test_a_repeated_consent_change_is_recognized_even_if_it_arrives_late() -> None:
    after = change_consent(make_relationship(), consent_withdrawn(3), NOW)[0]
    after = change_consent(after, consent_given(9), NOW)[0]

    assert change_consent(after, consent_withdrawn(3), NOW) == (after, ())
    assert change_consent(after, consent_given(1), NOW) == (after, ())


def test_consent_ticked_by_mistake_can_be_withdrawn_as_of_the_start() -> None:
    after, (event,) = change_consent(make_relationship(), consent_withdrawn(0), NOW)

    assert isinstance(event, ConsentWithdrawn)
    assert (after.consent, event.occurred_at) == (False, STARTED)
    assert change_consent(after, consent_withdrawn(0), NOW) == (after, ())
    assert change_consent(after, consent_given(0), NOW) == (after, ()), "the request before, repeated late"


def test_the_same_aims_agreed_on_another_day_give_another_event() -> None:
    same_aims = AimsAgreement(aims=("relief", "coping"), agreed_at=STARTED + DAY)

    after, events = update_aims(make_relationship(), same_aims, NOW)

    assert [event.occurred_at for event in events] == [same_aims.agreed_at]
    assert update_aims(after, same_aims, NOW) == (after, ())


def test_a_transfer_keeps_aims_cadence_and_consent() -> None:
    old = update_aims(make_relationship(), AimsAgreement(aims=("loss",), agreed_at=STARTED + DAY), NOW)[0]
    old = change_consent(old, consent_withdrawn(2), NOW)[0]
    successor_id, at = uuid4(), STARTED + 30 * DAY

    old, (ended,) = end_for_transfer(old, successor_id, BEN, at, NOW)
    new, events = start_successor(None, old, BEN)

    assert isinstance(ended, RelationshipEnded)
    assert (ended.reason, ended.successor_id, ended.occurred_at) == ("transferred", successor_id, at)
    (started,) = events  # without consent there is no consent event
    assert isinstance(started, RelationshipStarted)
    assert (started.predecessor_id, started.clinician_id) == (RELATIONSHIP, BEN.clinician_id)
    assert (started.aims, started.case_code, started.occurred_at) == (("loss",), "AB-12", at)
    assert end_for_transfer(old, successor_id, BEN, at, NOW) == (old, ())
    assert start_successor(new, old, BEN) == (new, ())
    assert decide_start(
        before=new,
        relationship_id=successor_id,
        clinician=BEN,
        clinician_id=BEN.clinician_id,
        started_at=at,
        aims=("loss",),
        consent=False,
    ) == (new, ())


def test_only_a_transfer_has_a_successor() -> None:
    for relationship in (make_relationship(), ended_relationship()):
        with pytest.raises(ValueError, match="not ended by a transfer"):
            start_successor(None, relationship, BEN)


END_AT = STARTED + 40 * DAY


@pytest.mark.parametrize(
    ("code", "before", "change"),
    [
        (
            "said-since",
            change_consent(make_relationship(), consent_withdrawn(9), NOW)[0],
            lambda r: change_consent(r, consent_withdrawn(3), NOW),
        ),
        (
            "said-since",
            change_consent(make_relationship(), consent_withdrawn(9), NOW)[0],
            lambda r: change_consent(r, consent_given(9), NOW),
        ),
        ("before-the-start", make_relationship(), lambda r: change_consent(r, consent_withdrawn(-1), NOW)),
        ("in-the-future", make_relationship(), lambda r: change_consent(r, consent_given(300), NOW)),
        (
            "agreed-since",
            make_relationship(),
            lambda r: update_aims(r, AimsAgreement(aims=("loss",), agreed_at=STARTED), NOW),
        ),
        (
            "in-the-future",
            make_relationship(),
            lambda r: update_aims(r, AimsAgreement(aims=("loss",), agreed_at=NOW + DAY), NOW),
        ),
        (
            "before-the-start",
            make_relationship(),
            lambda r: end_relationship(r, End(reason="other", at=STARTED - DAY), NOW),
        ),
        ("in-the-future", make_relationship(), lambda r: end_relationship(r, End(reason="other", at=NOW + DAY), NOW)),
        (
            "relationship-ended",
            ended_relationship(),
            lambda r: end_relationship(r, End(reason="other", at=END_AT), NOW),
        ),
        ("relationship-ended", ended_relationship(), lambda r: change_consent(r, consent_withdrawn(20), NOW)),
        ("relationship-ended", ended_relationship(), lambda r: change_consent(r, consent_given(41), NOW)),
        (
            "relationship-ended",
            ended_relationship(),
            lambda r: update_aims(r, AimsAgreement(aims=("loss",), agreed_at=END_AT), NOW),
        ),
        ("relationship-ended", ended_relationship(), lambda r: end_for_transfer(r, uuid4(), BEN, END_AT, NOW)),
        ("same-clinician", make_relationship(), lambda r: end_for_transfer(r, uuid4(), ANNA, END_AT, NOW)),
        ("same-relationship", make_relationship(), lambda r: end_for_transfer(r, r.relationship_id, BEN, END_AT, NOW)),
        (
            "unknown-clinician",
            end_for_transfer(make_relationship(), uuid4(), BEN, END_AT, NOW)[0],
            lambda r: start_successor(None, r, make_clinician(clinic_id=OTHER_CLINIC)),
        ),
    ],
)
def test_a_change_that_contradicts_the_relationship_is_rejected(
    code: str, before: Relationship, change: DecideChange
) -> None:
    with pytest.raises(Rejected) as rejected:
        change(before)

    assert rejected.value.code == code


def test_a_change_after_a_transfer_is_rejected_with_the_successor() -> None:
    successor_id = uuid4()
    old = end_for_transfer(make_relationship(), successor_id, BEN, END_AT, NOW)[0]

    with pytest.raises(Rejected, match=str(successor_id)):
        update_aims(old, AimsAgreement(aims=("loss",), agreed_at=NOW), NOW)


def test_a_change_recorded_before_the_end_may_be_repeated_after_it() -> None:
    consent_change, agreement = consent_withdrawn(3), AimsAgreement(aims=("loss",), agreed_at=STARTED + DAY)
    before = update_aims(change_consent(make_relationship(), consent_change, NOW)[0], agreement, NOW)[0]
    after = end_relationship(before, End(reason="completed", at=END_AT), NOW)[0]

    assert change_consent(after, consent_change, NOW) == (after, ())
    assert update_aims(after, agreement, NOW) == (after, ())
    assert after.start.clinic_id == CLINIC
