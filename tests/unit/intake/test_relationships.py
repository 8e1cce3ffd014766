"""Who works with whom: what is decided, what follows, and what is refused."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from services.intake.domain.people import Client
from services.intake.domain.relationships import (
    Agreement,
    Consent,
    Decided,
    End,
    Relationship,
    agree,
    end,
    follow,
    hand_over,
    hear_client,
)
from shared.errors import Refused
from shared.events import ConsentGiven, ConsentWithdrawn, RelationshipEnded, RelationshipStarted
from tests.support.intake_builders import (
    ANNA,
    BEN,
    CLIENT,
    CLINIC,
    DAY,
    NOW,
    RELATIONSHIP,
    STARTED,
    begun,
    clinician,
    relationship,
)

Change = Callable[[Relationship], Decided]


def given(at_day: int) -> Consent:
    return Consent(given=True, at=STARTED + at_day * DAY)


def withdrawn(at_day: int) -> Consent:
    return Consent(given=False, at=STARTED + at_day * DAY)


def ended(at_day: int = 40) -> Relationship:
    return end(relationship(), End(reason="completed", at=STARTED + at_day * DAY), NOW)[0]


def test_a_start_tells_of_the_relationship_and_of_the_consent() -> None:
    _, events = begun()

    assert [type(event) for event in events] == [RelationshipStarted, ConsentGiven]
    assert {event.occurred_at for event in events} == {STARTED}


def test_without_consent_only_the_relationship_is_told() -> None:
    after, events = begun(consent=False)

    assert [type(event) for event in events] == [RelationshipStarted]
    assert not after.consent


def test_a_start_told_again_is_known_whatever_happened_since() -> None:
    later = agree(ended().model_copy(update={"end": None}), Agreement(aims=("loss",), agreed_at=STARTED + DAY), NOW)[0]
    later = hear_client(later, withdrawn(2), NOW)[0]

    assert begun(before=later) == (later, ())


def test_a_start_told_otherwise_is_refused_and_says_what_differs() -> None:
    with pytest.raises(Refused, match="another cadence_days, consent") as rejected:
        begun(before=relationship(), cadence_days=14, consent=False)

    assert rejected.value.kind == "started-otherwise"


@pytest.mark.parametrize(
    ("kind", "refused"),
    [
        ("clinician-of-another-clinic", lambda: begun(who=clinician(clinic_id=uuid4()))),
        (
            "client-of-another-clinic",
            lambda: begun(client=Client(client_id=CLIENT.client_id, clinic_id=uuid4(), case_code="AB-12")),
        ),
        ("in-the-future", lambda: begun(started_at=NOW + timedelta(minutes=6))),
    ],
)
def test_a_start_that_cannot_be_is_refused(kind: str, refused: Callable[[], Decided]) -> None:
    with pytest.raises(Refused) as rejected:
        refused()

    assert rejected.value.kind == kind


def test_a_clock_that_is_a_little_ahead_is_no_future() -> None:
    assert begun(started_at=NOW + timedelta(minutes=4))[1]


def test_every_word_of_the_client_has_an_id_of_its_own_that_depends_on_nothing_else() -> None:
    after, (first,) = hear_client(relationship(), withdrawn(3), NOW)
    after, (second,) = hear_client(after, given(9), NOW)

    assert [type(first), type(second)] == [ConsentWithdrawn, ConsentGiven]
    assert len({event.id for event in (*begun()[1], first, second)}) == 4
    assert hear_client(relationship(), withdrawn(3), NOW)[1] == (first,)


def test_a_word_that_changes_nothing_is_not_told() -> None:
    assert hear_client(relationship(), given(5), NOW) == (relationship(), ())
    assert hear_client(relationship(consent=False), withdrawn(5), NOW) == (relationship(consent=False), ())


def test_a_word_that_comes_again_late_is_known_for_what_it_is() -> None:
    after = hear_client(relationship(), withdrawn(3), NOW)[0]
    after = hear_client(after, given(9), NOW)[0]

    assert hear_client(after, withdrawn(3), NOW) == (after, ())
    assert hear_client(after, given(1), NOW) == (after, ())


def test_aims_agreed_again_on_another_day_are_told_again() -> None:
    same_aims = Agreement(aims=("relief", "coping"), agreed_at=STARTED + DAY)

    after, events = agree(relationship(), same_aims, NOW)

    assert [event.occurred_at for event in events] == [same_aims.agreed_at]
    assert agree(after, same_aims, NOW) == (after, ())


def test_a_transfer_takes_aims_cadence_and_consent_along() -> None:
    old = agree(relationship(), Agreement(aims=("loss",), agreed_at=STARTED + DAY), NOW)[0]
    old = hear_client(old, withdrawn(2), NOW)[0]
    successor_id, at = uuid4(), STARTED + 30 * DAY

    old, (over,) = hand_over(old, successor_id, BEN, at, NOW)
    new, events = follow(None, old, BEN)

    assert isinstance(over, RelationshipEnded)
    assert (over.reason, over.successor_id, over.occurred_at) == ("transferred", successor_id, at)
    (started,) = events  # no consent, so none is told
    assert isinstance(started, RelationshipStarted)
    assert (started.predecessor_id, started.clinician_id) == (RELATIONSHIP, BEN.clinician_id)
    assert (started.aims, started.case_code, started.occurred_at) == (("loss",), "AB-12", at)
    assert hand_over(old, successor_id, BEN, at, NOW) == (old, ())
    assert follow(new, old, BEN) == (new, ())
    assert begun(
        before=new,
        relationship_id=successor_id,
        who=BEN,
        clinician_id=BEN.clinician_id,
        started_at=at,
        aims=("loss",),
        consent=False,
    ) == (new, ())


END_AT = STARTED + 40 * DAY


@pytest.mark.parametrize(
    ("kind", "before", "change"),
    [
        ("said-since", hear_client(relationship(), withdrawn(9), NOW)[0], lambda r: hear_client(r, withdrawn(3), NOW)),
        ("said-since", relationship(), lambda r: hear_client(r, withdrawn(0), NOW)),
        ("before-the-start", relationship(), lambda r: hear_client(r, withdrawn(-1), NOW)),
        ("in-the-future", relationship(), lambda r: hear_client(r, given(300), NOW)),
        ("agreed-since", relationship(), lambda r: agree(r, Agreement(aims=("loss",), agreed_at=STARTED), NOW)),
        ("in-the-future", relationship(), lambda r: agree(r, Agreement(aims=("loss",), agreed_at=NOW + DAY), NOW)),
        ("before-the-start", relationship(), lambda r: end(r, End(reason="other", at=STARTED - DAY), NOW)),
        ("in-the-future", relationship(), lambda r: end(r, End(reason="other", at=NOW + DAY), NOW)),
        ("relationship-ended", ended(), lambda r: end(r, End(reason="other", at=END_AT), NOW)),
        ("relationship-ended", ended(), lambda r: hear_client(r, withdrawn(20), NOW)),
        ("relationship-ended", ended(), lambda r: hear_client(r, given(41), NOW)),
        ("relationship-ended", ended(), lambda r: agree(r, Agreement(aims=("loss",), agreed_at=END_AT), NOW)),
        ("relationship-ended", ended(), lambda r: hand_over(r, uuid4(), BEN, END_AT, NOW)),
        ("same-clinician", relationship(), lambda r: hand_over(r, uuid4(), ANNA, END_AT, NOW)),
        ("same-relationship", relationship(), lambda r: hand_over(r, r.relationship_id, BEN, END_AT, NOW)),
        (
            "clinician-of-another-clinic",
            hand_over(relationship(), uuid4(), BEN, END_AT, NOW)[0],
            lambda r: follow(None, r, clinician(clinic_id=uuid4())),
        ),
    ],
)
def test_what_contradicts_what_is_so_is_refused(kind: str, before: Relationship, change: Change) -> None:
    with pytest.raises(Refused) as rejected:
        change(before)

    assert rejected.value.kind == kind


def test_who_asks_about_a_relationship_that_passed_on_is_told_where_to() -> None:
    successor_id = uuid4()
    old = hand_over(relationship(), successor_id, BEN, END_AT, NOW)[0]

    with pytest.raises(Refused, match=str(successor_id)):
        agree(old, Agreement(aims=("loss",), agreed_at=NOW), NOW)


def test_what_was_noted_before_the_end_may_be_sent_again_after_it() -> None:
    consent_change, agreement = withdrawn(3), Agreement(aims=("loss",), agreed_at=STARTED + DAY)
    before = agree(hear_client(relationship(), consent_change, NOW)[0], agreement, NOW)[0]
    after = end(before, End(reason="completed", at=END_AT), NOW)[0]

    assert hear_client(after, consent_change, NOW) == (after, ())
    assert agree(after, agreement, NOW) == (after, ())
    assert after.start.clinic_id == CLINIC
