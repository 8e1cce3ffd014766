"""Evidence in words: for every detector, and for one that is newer than this code."""

from uuid import UUID, uuid5

import pytest

from services.alliance.domain.detection.detectors import BEHAVIOUR_DETECTORS, CLIENT_DETECTORS, CLINICIAN_DETECTORS
from services.alliance.domain.detection.resolution import LOW_AGAIN
from shared.clinical.wording import KNOWN_DETECTORS, describe_evidence, sentence
from shared.events import Element, Evidence
from tests.support.builders import FIRST_SESSION_AT

DETECTORS = sorted(
    {
        LOW_AGAIN,
        *(detector.__name__ for detector in (*CLIENT_DETECTORS, *CLINICIAN_DETECTORS, *BEHAVIOUR_DETECTORS)),
    }
)
USUAL_RANGE = {"expected": 84.0, "low": 78.0, "high": 90.0}


def sign(
    detector: str, session: int, strength: float = 1, element: Element | None = None, /, **numbers: float
) -> Evidence:
    return Evidence(
        detector=detector,
        strength=strength,
        session_id=uuid5(UUID(int=0), str(session)),
        occurred_at=FIRST_SESSION_AT,
        element=element,
        numbers={**numbers, "session": session},
    )


def test_every_detector_of_alliance_has_a_sentence_and_no_other() -> None:
    assert set(DETECTORS) == KNOWN_DETECTORS


@pytest.mark.parametrize("detector", [*DETECTORS, "dreamt_of"])
def test_every_detector_has_a_sentence_even_without_numbers(detector: str) -> None:
    text = sentence(Evidence(detector=detector, strength=1, occurred_at=FIRST_SESSION_AT))

    assert text.endswith(".")
    assert "detected" not in text


def test_every_known_detector_has_a_sentence_of_its_own() -> None:
    texts = {
        sentence(Evidence(detector=name, strength=1, occurred_at=FIRST_SESSION_AT)) for name in [*DETECTORS, "newer"]
    }

    assert len(texts) == len(DETECTORS) + 1


def test_an_explanation_states_what_fell_when_and_the_usual_range() -> None:
    signs = [sign("withdrawal", 10, silent=1), sign("element_drop", 9, 2, "trust", rating=52, **USUAL_RANGE)]

    assert describe_evidence(signs) == [
        "Trust fell to 52 after session 9 (usually 78 to 90 here).",
        "No feedback came for session 10.",
    ]


def test_evidence_published_before_there_were_bands_has_a_sentence() -> None:
    old = Evidence(
        detector="sudden_drop", strength=1, occurred_at=FIRST_SESSION_AT, numbers={"rating": 54.0, "expected": 86.0}
    )

    assert sentence(old) == "The client's rating fell to 54 (usually around 86 here)."


def test_a_rating_within_the_band_is_not_described_as_a_fall() -> None:
    text = sentence(sign("sudden_drop", 9, rating=79, **USUAL_RANGE))

    assert text == "The client's rating was at the lower end, at 79 after session 9 (usually 78 to 90 here)."


def test_a_drop_and_a_slide_of_the_same_rating_are_one_message() -> None:
    numbers = {"rating": 70.0, **USUAL_RANGE}

    assert describe_evidence(
        [sign("sudden_drop", 9, 2, **numbers), sign("sustained_slide", 9, ratings=4, **numbers)]
    ) == ["The client's ratings have been slipping over 4 answers, to 70 after session 9 (usually 78 to 90 here)."]
    assert (
        len(describe_evidence([sign("sudden_drop", 7, 2, **numbers), sign("sustained_slide", 9, ratings=4, **numbers)]))
        == 2
    )


def test_a_drop_of_the_whole_that_one_element_explains_is_omitted() -> None:
    trust = sign("element_drop", 9, 2, "trust", rating=40, rest=84, **USUAL_RANGE)

    assert describe_evidence([sign("sudden_drop", 9, rating=78, **USUAL_RANGE), trust]) == [sentence(trust)]


def test_several_elements_that_fell_in_one_session_are_one_message() -> None:
    signs = [sign("element_drop", 9, 2, "trust", rating=52), sign("element_drop", 9, 1, "fit", rating=60)]

    assert describe_evidence(signs) == [
        "Trust to 52 and the way of working to 60: these fell furthest after session 9."
    ]


def test_a_tension_that_one_side_reported_names_the_reporter() -> None:
    numbers = {"tension": 2.0, "talked_about": 0.0}

    by_client = sentence(sign("told_directly", 4, by_client=1, other=0, **numbers))
    by_clinician = sentence(sign("told_directly", 4, by_client=0, other=0, **numbers))

    assert "The client told of tension between the two in session 4, and the clinician of none" in by_client
    assert "The clinician told of tension between the two in session 4, and the client of none" in by_clinician


def test_a_tension_that_both_reported_is_one_message() -> None:
    both = [sign("told_directly", 4, tension=2, talked_about=0, by_client=who) for who in (1, 0)]

    assert describe_evidence(both) == ["Both told of tension between the two in session 4; it was not talked about."]


def test_an_explanation_has_at_most_three_sentences() -> None:
    signs = [sign("sudden_drop", session, session, rating=50, **USUAL_RANGE) for session in range(1, 9)]

    assert len(describe_evidence(signs)) == 3
    assert "after session 8" in describe_evidence(signs)[0]


def test_absence_is_counted_in_words() -> None:
    numbers = {"missed": 1.0, "cancelled_late": 2.0, "silent": 1.0}

    text = sentence(Evidence(detector="withdrawal", strength=1, occurred_at=FIRST_SESSION_AT, numbers=numbers))

    assert text == "Lately 1 session was missed and 2 were called off late; no feedback came for the last session."


def test_a_sentence_never_says_what_was_not_said_about_a_tension() -> None:
    assert sentence(sign("told_directly", 4, tension=2, by_client=1)) == (
        "The client told of tension between the two in session 4; it was not said whether it was talked about."
    )
    assert sentence(sign("told_directly", 4, tension=2, by_client=1, talked_about=1)) == (
        "The client told of tension between the two in session 4; it was partly talked about."
    )


def test_when_the_two_answer_differently_whether_they_talked_about_it_each_is_quoted() -> None:
    client = sign("told_directly", 4, tension=2, talked_about=0, by_client=1)
    clinician = sign("told_directly", 4, tension=2, talked_about=2, by_client=0)
    silent = sign("told_directly", 4, tension=2, by_client=0)
    both = "Both told of tension between the two in session 4"

    assert describe_evidence([client, clinician]) == [
        f"{both}; the client said that it was not talked about, the clinician said that it was talked about."
    ]
    assert describe_evidence([client, silent]) == [
        f"{both}; the client said that it was not talked about, the clinician did not say whether it was talked about."
    ]
