"""What was reported, what is low in any relationship, where the two differ, and what did not happen, in words."""

from datetime import timedelta

import pytest

from shared.clinical.wording import describe_evidence
from tests.support.builders import ELEMENTS
from tests.unit.shared.session_signs import CLINICIAN_USUAL, SESSION_9_AT, USUAL, USUALLY, describe, sign


def test_a_tension_that_one_side_reported_names_the_reporter() -> None:
    numbers = {"tension": 2.0, "talked_about": 0.0}

    assert describe(sign("told_directly", 9, by_client=1, other=0, **numbers)) == (
        "the client reported tension with the clinician and said that it was not talked about; "
        "on the clinician's form there was none."
    )
    assert describe(sign("told_directly", 9, by_client=0, other=0, **numbers)) == (
        "the clinician reported tension with the client and said that it was not talked about; "
        "on the client's form there was none."
    )


def test_a_tension_that_both_reported_is_one_message() -> None:
    both = [sign("told_directly", 9, tension=tension, talked_about=0, by_client=by) for tension, by in ((1, 1), (2, 0))]
    reported = "both reported tension with each other"

    assert describe(*both) == f"{reported}; both said that it was not talked about."
    assert describe(sign("told_directly", 9, tension=2, talked_about=0, by_client=1, other=1)) == (
        f"{reported}; the client said that it was not talked about."
    )


def test_nothing_is_said_of_whether_a_tension_was_talked_about_if_the_question_was_left_open() -> None:
    assert describe(sign("told_directly", 9, tension=1, by_client=1)) == (
        "the client reported a little tension with the clinician."
    )
    assert describe(sign("told_directly", 9, tension=1, by_client=1, talked_about=1)) == (
        "the client reported a little tension with the clinician and said that it was partly talked about."
    )


def test_when_the_two_answer_differently_whether_they_talked_about_it_each_is_quoted() -> None:
    clinician = sign("told_directly", 9, tension=2, talked_about=2, by_client=0)
    client = sign("told_directly", 9, tension=2, talked_about=0, by_client=1)
    silent = sign("told_directly", 9, tension=2, by_client=0)
    both = "both reported tension with each other"

    assert describe(clinician, client) == (
        f"{both}; the client said that it was not talked about and the clinician said that it was talked about."
    )
    assert describe(client, silent) == f"{both}; the client said that it was not talked about."


def test_a_first_form_of_zeros_is_no_fall_and_asks_how_the_scale_was_read() -> None:
    zeros = [sign("at_floor", 1, rating=0, level=10), *(sign("at_floor", 1, e, rating=0, level=0) for e in ELEMENTS)]

    (text,) = describe_evidence(zeros)

    assert text == (
        "Tuesday 13 January, after session 1: the client's rating was 0 of 10, low in any relationship; "
        "it is worth asking how the scale was read."
    )


@pytest.mark.parametrize(("own", "is_first"), [(0, True), (12, False)])
def test_a_later_form_of_zeros_was_not_read_the_wrong_way_round(own: int, is_first: bool) -> None:
    """Also where it is not known that the session was held, so that it has no number."""
    floor = sign("at_floor", 1, rating=0, level=10)
    unnumbered = floor.model_copy(update={"numbers": {"rating": 0, "level": 10, "own": own}})

    (text,) = describe_evidence([unnumbered])

    assert ("how the scale was read" in text) == is_first


def test_an_element_at_the_floor_is_what_is_low_and_not_the_rest() -> None:
    fallen = sign("element_drop", 9, "trust", rating=10, rest=84, **USUAL)

    assert describe(sign("at_floor", 9, "trust", rating=10, level=10), fallen) == (
        f"trust fell to 1 of 10 {USUALLY}, low in any relationship; the others averaged 8.4."
    )


def test_a_late_answer_takes_the_place_of_the_form_that_had_lapsed() -> None:
    lapsed, late = sign("withdrawal", 9, silent=1, missed=1), sign("sudden_drop", 9, rating=60, **USUAL)
    clinician = sign("clinician_drop", 9, rating=60, **CLINICIAN_USUAL)

    assert "no answer from the client" not in describe(lapsed, late)
    assert "no answer from the client" not in describe(lapsed, sign("told_directly", 9, tension=2, by_client=1))
    assert "no answer from the client" in describe(lapsed, clinician)
    assert "no answer from the client" in describe(lapsed, sign("told_directly", 9, tension=2, by_client=0))


def test_a_later_answer_at_the_floor_has_fallen_only_if_it_was_higher() -> None:
    floor = sign("at_floor", 9, rating=32, level=40)

    assert describe(floor) == "the client's rating was 3.2 of 10, low in any relationship."
    assert describe(floor, sign("sudden_drop", 9, rating=32, **USUAL)) == (
        "the client's rating fell to 3.2 of 10 (usually 7.8 to 9 with this client), low in any relationship."
    )


def test_elements_at_the_floor_are_named_the_lowest_first_and_at_most_three() -> None:
    floors = [sign("at_floor", 9, e, rating=r) for e, r in zip(ELEMENTS, (20, 0, 10, 0, 20, 20, 20, 20), strict=True)]
    guidance = sign("at_floor", 9, "guidance", rating=10, level=10)

    assert describe(*floors) == (
        "respect and freedom from judgment were 0 of 10, working together 1, all low in any relationship."
    )
    assert describe(guidance, sign("element_drop", 9, "guidance", rating=10, **USUAL)) == (
        "guidance fell to 1 of 10 (usually 7.8 to 9 with this client), low in any relationship."
    )
    assert describe(guidance, sign("element_drop", 9, "trust", rating=30, **USUAL)) == (
        "guidance was 1 of 10, low in any relationship; trust fell to 3 (usually 7.8 to 9 with this client)."
    )


def test_elements_at_the_floor_come_before_lower_ones_that_are_not() -> None:
    fallen = sign("element_drop", 9, "trust", rating=10, **USUAL)

    assert describe(fallen, sign("at_floor", 9, "guidance", rating=20)) == (
        "guidance was 2 of 10, low in any relationship; trust fell to 1 (usually 7.8 to 9 with this client)."
    )


def test_elements_at_the_floor_that_are_lower_than_the_whole_are_named_with_it() -> None:
    signs = [sign("at_floor", 9, rating=32), sign("at_floor", 9, "trust", rating=10)]

    assert describe(*signs) == "the client's rating was 3.2 of 10, low in any relationship; trust was 1."


def test_a_rating_as_low_as_when_a_resolved_alert_began_is_compared_with_it() -> None:
    again = "the client's rating was 4.8 of 10, no higher than"

    assert describe(sign("low_again", 9, rating=48, level=52)) == f"{again} the 5.2 at which the resolved alert began."
    assert describe(sign("low_again", 9, rating=48, level=48)) == f"{again} when the resolved alert began."
    assert describe(sign("low_again", 9, rating=30, level=30), sign("at_floor", 9, rating=30)) == (
        "the client's rating was 3 of 10, low in any relationship and no higher than when the resolved alert began."
    )


def test_the_level_at_which_a_resolved_alert_began_is_stated_once() -> None:
    again = [sign("low_again", session, rating=rating, level=52) for session, rating in ((9, 48), (10, 45))]

    newer, older = describe_evidence(again)

    assert newer.endswith(", no higher than the 5.2 at which the resolved alert began.")
    assert older.endswith(", no higher than when the resolved alert began.")


def test_two_answers_about_one_session_are_one_sentence_with_the_date_of_the_session() -> None:
    client, clinician = sign("sudden_drop", 9, rating=32), sign("clinician_drop", 9, rating=50)
    a_day_later = clinician.model_copy(update={"occurred_at": SESSION_9_AT + timedelta(days=1)})

    assert describe_evidence([client, a_day_later]) == [
        "Tuesday 10 March, after session 9: the client's rating fell to 3.2 of 10; the clinician's rating fell to 5."
    ]


def test_two_who_rate_a_session_differently_are_both_quoted_once() -> None:
    apart = sign("apart", 9, client=32, clinician=80, usual=3)
    client, clinician = (
        sign("sudden_drop", 9, rating=32, **USUAL),
        sign("clinician_drop", 9, rating=50, **CLINICIAN_USUAL),
    )
    usual = "(usually the client's is 0.3 higher)"

    assert describe(apart) == f"the client rated the session 3.2 of 10, the clinician 8 {usual}."
    assert describe(apart, client) == (
        f"the client's rating fell to 3.2 of 10 {USUALLY}; the clinician rated the session 8 {usual}."
    )
    assert describe(apart, clinician) == (
        f"the client rated the session 3.2 of 10 {usual}; "
        "the clinician's rating fell to 5 (usually 7 to 8 with this client)."
    )
    assert describe(apart, client, clinician) == (
        f"the client's rating fell to 3.2 of 10 {USUALLY}; the clinician's rating fell to 5 (usually 7 to 8)."
    )


@pytest.mark.parametrize(
    ("numbers", "usual"),
    [({"usual": -12.0}, " (usually the client's is 1.2 lower)"), ({"usual": 0.2}, " (usually the same)"), ({}, "")],
)
def test_the_usual_difference_of_the_two_has_a_direction(numbers: dict[str, float], usual: str) -> None:
    assert describe(sign("apart", 9, client=32, clinician=80, **numbers)).endswith(f"the clinician 8{usual}.")
