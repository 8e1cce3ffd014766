"""Evidence in words: for every detector, and for one that is newer than this code."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from services.alliance.domain.detection.detectors import BEHAVIOUR_DETECTORS, CLIENT_DETECTORS, CLINICIAN_DETECTORS
from shared.clinical.signs import KNOWN_DETECTORS
from shared.clinical.wording import describe_evidence
from shared.events import Evidence
from tests.unit.shared.session_signs import SESSION_9, SESSION_9_AT, SESSION_10, USUAL, USUALLY, describe, sign

FEW = "so far usually 7.8 to 9, from few ratings here and this clinic's"
DETECTORS = {detector.__name__ for detector in (*CLIENT_DETECTORS, *CLINICIAN_DETECTORS, *BEHAVIOUR_DETECTORS)}


def test_every_detector_of_alliance_has_words_of_its_own() -> None:
    assert DETECTORS <= KNOWN_DETECTORS


@pytest.mark.parametrize("detector", [*sorted(KNOWN_DETECTORS), "dreamt_of"])
def test_every_detector_has_a_sentence_even_without_numbers(detector: str) -> None:
    (text,) = describe_evidence([Evidence(detector=detector, strength=1, occurred_at=SESSION_9_AT)])

    assert text.startswith("Tuesday 10 March: ")
    assert text.endswith(".")
    assert "detected" not in text


def test_a_detector_that_is_unknown_or_of_an_older_version_gets_a_general_sentence() -> None:
    general = "there were signs of strain between client and clinician."

    assert describe(sign("dreamt_of", 9, dreams=3)) == general
    assert describe(sign("low_level", 9, level=55, threshold=60)) == general
    assert describe(sign("sudden_drop", 9, rating=52), sign("dreamt_of", 9)) == "the client's rating fell to 5.2 of 10."


def test_signs_have_the_date_and_the_session_and_the_newest_comes_first() -> None:
    signs = [sign("sudden_drop", 9, strength=3, rating=52, **USUAL), sign("withdrawal", 10, silent=1)]

    assert describe_evidence(signs) == [
        f"{SESSION_10} no answer from the client in time.",
        f"{SESSION_9} the client's rating fell to 5.2 of 10 (usually 7.8 to 9 with this client).",
    ]


@pytest.mark.parametrize(
    ("zone", "date"),
    [("UTC", "Tuesday 10 March"), ("Asia/Tokyo", "Wednesday 11 March"), ("Pacific/Pago_Pago", "Tuesday 10 March")],
)
def test_a_date_is_that_of_the_time_zone(zone: str, date: str) -> None:
    (text,) = describe_evidence([sign("withdrawal", 9, silent=1)], ZoneInfo(zone))

    assert text.startswith(f"{date}, after session 9:")


def test_a_late_answer_about_an_earlier_session_has_the_date_of_that_session_and_its_place() -> None:
    """Also if it is the newest sign, which raised the alert: then it is one of the three sentences."""
    late = sign("sudden_drop", 6, rating=52, hours_after_session=35 * 24)
    late = late.model_copy(update={"occurred_at": SESSION_9_AT + timedelta(weeks=2)})
    signs = [late, *(sign("clinician_drop", session, rating=50) for session in (7, 8, 9, 10))]

    assert [text.split(":")[0] for text in describe_evidence(signs)] == [
        "Tuesday 17 March, after session 10",
        "Tuesday 10 March, after session 9",
        "Tuesday 17 February, after session 6",
    ]


def test_there_are_at_most_three_sentences_and_the_oldest_are_left_out() -> None:
    signs = [sign("clinician_drop", session, rating=50, strength=10 - session) for session in range(1, 9)]

    assert [text.split(":")[0].split(" ")[-1] for text in describe_evidence(signs)] == ["8", "7", "6"]


def test_evidence_published_before_there_were_bands_has_a_sentence() -> None:
    numbers = {"rating": 54.0, "expected": 86.0}
    old = Evidence(detector="sudden_drop", strength=1, occurred_at=SESSION_9_AT, numbers=numbers)

    assert describe_evidence([old]) == [
        "Tuesday 10 March: the client's rating fell to 5.4 of 10 (usually around 8.6 with this client)."
    ]


def test_what_is_usual_rests_on_the_clinic_too_until_there_are_four_own_ratings_and_nothing_has_fallen() -> None:
    assert describe(sign("sudden_drop", 9, rating=52, **{**USUAL, "own": 3})) == (
        "the client's rating was 5.2 of 10 (so far usually 7.8 to 9, from few ratings here and this clinic's)."
    )
    assert describe(sign("element_drop", 9, "trust", rating=52, **{**USUAL, "own": 0})) == (
        "trust was 5.2 of 10 (so far usually 7.8 to 9, from few ratings here and this clinic's)."
    )
    assert describe(sign("sudden_drop", 9, rating=52, **{**USUAL, "own": 4})) == (
        "the client's rating fell to 5.2 of 10 (usually 7.8 to 9 with this client)."
    )


@pytest.mark.parametrize(("own", "first"), [(6, "usually 7.8 to 9 with this client"), (3, FEW)])
def test_whose_range_it_is_is_said_once_in_a_sentence(own: float, first: str) -> None:
    numbers = {"rating": 52.0, **USUAL, "own": own}

    text = describe(sign("sudden_drop", 9, **numbers), sign("element_drop", 9, "trust", **{**numbers, "rating": 40}))

    assert text.startswith(f"the client's rating {'fell to' if own == 6 else 'was'} 5.2 of 10 ({first}); trust ")
    assert text.endswith("usually 7.8 to 9).")


def test_a_usual_range_of_one_value_is_one_value() -> None:
    text = describe(sign("sudden_drop", 9, rating=52, expected=100, low=100, high=100, own=8))

    assert text == "the client's rating fell to 5.2 of 10 (usually 10 with this client)."


def test_ratings_within_the_band_are_left_out() -> None:
    within = sign("sudden_drop", 9, rating=79, **USUAL)

    assert describe(within, sign("told_directly", 9, tension=2, by_client=1)) == (
        "the client reported tension with the clinician."
    )
    assert describe_evidence([within, sign("withdrawal", 10, silent=1)]) == [
        f"{SESSION_10} no answer from the client in time."
    ]


def test_a_rating_that_is_shown_as_the_lower_limit_is_within_the_band() -> None:
    assert "fell" not in describe(sign("sudden_drop", 9, rating=77.96, **{**USUAL, "low": 78.04}))


@pytest.mark.parametrize(
    ("within", "text"),
    [
        (
            sign("sudden_drop", 9, rating=79, **USUAL),
            "the client's rating was 7.9 of 10, at the lower end of what is usual (7.8 to 9 with this client).",
        ),
        (
            sign("sustained_slide", 9, rating=79, ratings=4, **USUAL),
            "the client's last 4 ratings were at the lower end of what is usual (7.8 to 9 with this client), "
            "the latest 7.9 of 10.",
        ),
        (
            sign("element_drop", 9, "trust", rating=80, **USUAL),
            "trust was 8 of 10, at the lower end of what is usual (7.8 to 9 with this client).",
        ),
        (
            sign("clinician_drop", 9, rating=71, low=70),
            "the clinician's rating was 7.1 of 10, at the lower end of what is usual.",
        ),
    ],
)
def test_a_rating_within_the_band_is_at_its_lower_end_if_the_newest_session_has_nothing_else(
    within: Evidence, text: str
) -> None:
    assert describe(within) == text
    assert describe_evidence([within, sign("withdrawal", 8, silent=1)])[0] == f"{SESSION_9} {text}"


def test_a_drop_and_a_slide_of_the_same_rating_are_one_message() -> None:
    numbers = {"rating": 70.0, **USUAL}

    assert describe(
        sign("sudden_drop", 9, strength=2, **numbers), sign("sustained_slide", 9, ratings=4, **numbers)
    ) == (f"the client's last 4 ratings were lower than expected, the latest 7 of 10 {USUALLY}.")


def test_an_older_slide_is_not_counted_again() -> None:
    slid = f"{SESSION_10} the client's last 3 ratings were lower than expected, the latest"
    slides = [sign("sustained_slide", 7 + n, rating=70 - n, ratings=n, **USUAL) for n in (2, 3)]

    assert describe_evidence(slides) == [
        f"{slid} 6.7 of 10 (usually 7.8 to 9 with this client).",
        f"{SESSION_9} the client's rating fell to 6.8 of 10.",
    ]


def test_an_element_that_fell_alone_is_compared_with_the_rest() -> None:
    trust = sign("element_drop", 9, "trust", rating=40, rest=84, **USUAL)

    assert describe(sign("sudden_drop", 9, rating=76, **USUAL), trust) == (
        "trust fell to 4 of 10 (usually 7.8 to 9 with this client); the others averaged 8.4."
    )


def test_an_element_within_its_band_explains_no_drop() -> None:
    signs = [sign("sudden_drop", 9, rating=76, **USUAL), sign("element_drop", 9, "trust", rating=80, rest=84, **USUAL)]

    assert describe_evidence([*signs, sign("withdrawal", 10, silent=1)]) == [
        f"{SESSION_10} no answer from the client in time.",
        f"{SESSION_9} the client's rating fell to 7.6 of 10 (usually 7.8 to 9 with this client).",
    ]


def test_elements_that_fell_in_one_answer_are_listed_from_the_lowest() -> None:
    signs = [
        sign("element_drop", 9, "respect", rating=50),
        sign("element_drop", 9, "trust", rating=30, **USUAL),
        sign("element_drop", 9, "fit", rating=50),
    ]

    fallen = "respect and the way of working to 5."
    assert describe(*signs) == f"trust fell to 3 of 10 {USUALLY}, {fallen}"
    assert describe(*signs, sign("sudden_drop", 9, rating=61)) == (
        f"the client's rating fell to 6.1 of 10; trust fell to 3 {USUALLY}, {fallen}"
    )


def test_each_of_several_elements_has_its_own_range() -> None:
    aim = {"expected": 86.0, "low": 71.0, "high": 100.0, "own": 6.0}
    signs = [
        sign("element_drop", 9, "guidance", rating=80, **{**aim, "low": 84.0}),
        sign("element_drop", 9, "common_aim", rating=70, **aim),
        sign("element_drop", 9, "trust", rating=70, **aim),
    ]

    assert describe(*signs) == (
        "agreement on the aim and trust fell to 7 of 10 (usually 7.1 to 10 with this client), "
        "guidance to 8 (8.4 to 10)."
    )
    assert describe(*(s.model_copy(update={"numbers": {**s.numbers, "own": 1.0}}) for s in signs[:2])) == (
        "agreement on the aim was 7 of 10 (so far usually 7.1 to 10, from few ratings here and this clinic's), "
        "guidance 8 (8.4 to 10)."
    )
