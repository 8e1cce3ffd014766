"""Missed sessions, late cancellations, unanswered forms and sessions cut short, in words."""

from datetime import timedelta

import pytest

from shared.clinical.absences import WithdrawalKind, withdrawal_kinds
from shared.clinical.wording import describe_evidence
from shared.events import Evidence
from tests.unit.shared.session_signs import SESSION_9_AT, describe, sign


def absence(day: int, **numbers: float) -> Evidence:
    """A sign of an appointment that was not held, so that it has no number."""
    occurred_at = SESSION_9_AT + timedelta(days=day)
    return Evidence(detector="withdrawal", strength=1, occurred_at=occurred_at, numbers=numbers)


def words(**numbers: float) -> str:
    (text,) = describe_evidence([absence(0, **numbers)])
    return text.removeprefix("Tuesday 10 March: ")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ({"missed": 1}, "this appointment was missed."),
        ({"missed": 2}, "this appointment was missed, the 2nd missed of the last 4."),
        ({"missed": 1, "cancelled_late": 2}, "this appointment was missed, and 2 of the last 4 were called off late."),
        (
            {"missed": 2, "cancelled_late": 1},
            "this appointment was missed, the 2nd missed of the last 4, and 1 was called off late.",
        ),
        ({"absence": 2, "cancelled_late": 1}, "this appointment was called off late."),
        ({"missed": 3, "in_a_row": 3}, "this appointment was missed, the 3rd absence in a row."),
        ({"missed": 11, "in_a_row": 11}, "this appointment was missed, the 11th absence in a row."),
        ({"missed": 21, "in_a_row": 21}, "this appointment was missed, the 21st absence in a row."),
        ({}, "this appointment was missed."),
    ],
)
def test_an_absence_says_of_how_many_and_whether_it_is_this_appointment(numbers: dict[str, float], text: str) -> None:
    assert words(**{"absence": 1, "appointments": 4, **numbers}) == text


def test_a_lapsed_form_has_the_date_of_its_session_and_says_by_when_an_answer_was_awaited() -> None:
    lapsed = sign("withdrawal", 9, silent=1, hours_after_session=72, missed=2, appointments=4)
    lapsed = lapsed.model_copy(update={"occurred_at": SESSION_9_AT + timedelta(days=3)})
    rated = sign("clinician_drop", 9, rating=48)

    assert describe(lapsed, rated) == (
        "the clinician's rating fell to 4.8 of 10; no answer from the client by Friday 13 March; "
        "2 of the last 4 appointments until then were missed."
    )


def test_a_late_cancellation_has_the_date_of_the_appointment() -> None:
    cancelled = absence(-1, absence=2, cancelled_late=1, hours_after_session=-24)

    assert describe_evidence([cancelled]) == ["Tuesday 10 March: this appointment was called off late."]


def test_an_answer_that_was_awaited_on_the_day_of_the_session_did_not_come_in_time() -> None:
    lapsed = sign("withdrawal", 9, silent=1, hours_after_session=2, missed=1, appointments=4)

    assert describe(lapsed) == "no answer from the client in time; 1 of the last 4 appointments was missed."


def test_a_lapsed_form_after_absences_in_a_row_counts_them_and_is_not_one() -> None:
    lapsed = sign("withdrawal", 9, silent=1, missed=3, appointments=4, in_a_row=3)

    assert describe(lapsed) == "no answer from the client in time; 3 of the last 4 appointments were missed."


def test_a_code_of_a_later_version_leaves_open_why_the_appointment_was_not_held() -> None:
    assert words(absence=3, missed=1, appointments=4) == "1 of the last 4 appointments was missed."


@pytest.mark.parametrize(
    ("numbers", "kinds"),
    [
        ({"cut_short": 1, "silent": 1, "missed": 1}, ["cut_short", "silence", "absence"]),
        ({"absence": 2}, ["absence"]),
        ({"cancelled_late": 1}, ["absence"]),
        ({"in_a_row": 3}, ["absence"]),
        ({"in_a_row": 2, "missed": 0, "cut_short": 0, "silent": 0}, []),
    ],
)
def test_a_sign_of_withdrawal_says_which_kinds_of_it_happened(
    numbers: dict[str, float], kinds: list[WithdrawalKind]
) -> None:
    assert list(withdrawal_kinds(absence(0, **numbers))) == kinds


def test_hours_that_no_calendar_holds_are_limited() -> None:
    assert describe_evidence([absence(0, silent=1, hours_after_session=1e300)])


def test_absences_before_a_session_that_was_held_are_counted_among_the_last_appointments() -> None:
    missed = {"appointments": 4, "missed": 2}

    assert describe(sign("withdrawal", 9, silent=1, **missed)) == (
        "no answer from the client in time; 2 of the last 4 appointments were missed."
    )
    assert describe(sign("withdrawal", 9, cut_short=1, cancelled_late=1, **missed)) == (
        "the session was cut short; 2 of the last 4 appointments were missed and 1 was called off late."
    )


def test_absences_of_older_versions_say_what_they_can() -> None:
    """They do not say of how many appointments, and which was this one only if all are of one kind."""
    assert words(missed=1) == "this appointment was missed."
    assert words(missed=2, in_a_row=2) == "this appointment was missed, the 2nd missed of the latest."
    assert words(missed=1, cancelled_late=2) == ("1 of the latest appointments was missed and 2 were called off late.")
    assert words(in_a_row=3) == "3 appointments in a row were missed or called off late."
    assert words() == "there was less contact than usual."
    assert words(cut_short=1) == "the last session was cut short."
    assert describe(sign("withdrawal", 9, cut_short=1)) == "the session was cut short."


def test_absences_are_counted_once() -> None:
    signs = [absence(0, missed=1), absence(1, missed=1, silent=1), absence(2, absence=2, missed=1, cancelled_late=2)]

    assert describe_evidence(signs) == [
        "Thursday 12 March: this appointment was called off late, the 2nd called off late of the latest, "
        "and 1 was missed.",
        "Wednesday 11 March: no answer from the client about the last session in time.",
    ]
