"""What holds of the words for any evidence."""

import re
from datetime import UTC, datetime, timedelta
from random import Random
from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from shared.clinical.signs import KNOWN_DETECTORS
from shared.clinical.wording import describe_evidence
from shared.events import Element, Evidence
from tests.support.builders import ELEMENTS

FIRST_SESSION_AT = datetime(2026, 1, 6, 15, tzinfo=UTC)
USUAL_DIFFERENCE = 3
RATINGS = [points for points in range(11, 100) if points % 10]
"""None is shown as a whole number, so that none is taken for a count, or as the usual difference."""
SESSION_DETECTORS = sorted({*KNOWN_DETECTORS, "dreamt_of"} - {"element_drop"})


class Facts:
    """The numbers of one relationship, of which no two are the same."""

    def __init__(self, random: Random) -> None:
        self._ratings = random.sample(RATINGS, len(RATINGS))
        self._count = 100
        self._bands = {subject: self._band(random) for subject in ("client", "clinician", *ELEMENTS)}

    def rating(self) -> float:
        return self._ratings.pop()

    def count(self) -> int:
        self._count += 1
        return self._count

    def numbers(self, subject: str, rating: float) -> dict[str, float]:
        return {"rating": rating, **self._bands[subject]}

    def _band(self, random: Random) -> dict[str, float]:
        low, high = sorted((self.rating(), self.rating()))
        own = random.choice([{}, {"own": 3.0}, {"own": 5.0}])
        return {"low": low, "high": high, **own}


def session_signs(facts: Facts, session: int, detectors: set[str], elements: dict[Element, str]) -> list[Evidence]:
    """Signs of one session, as `detectors` and those of each element find them."""
    client, clinician = facts.rating(), facts.rating()
    numbers: dict[str, dict[str, float]] = {
        "sudden_drop": facts.numbers("client", client),
        "sustained_slide": {**facts.numbers("client", client), "ratings": facts.count()},
        "clinician_drop": facts.numbers("clinician", clinician),
        "at_floor": {"rating": client, "level": 40},
        "low_again": {"rating": client, "level": facts.rating()},
        "low_level": {"level": facts.rating(), "threshold": 60},
        "told_directly": {"tension": 1, "by_client": 1, "talked_about": 2, "other": 0},
        "withdrawal": {
            "missed": facts.count(),
            "cancelled_late": facts.count(),
            "appointments": facts.count(),
            "silent": 1,
        },
        "apart": {"client": client, "clinician": clinician, "usual": USUAL_DIFFERENCE},
        "dreamt_of": {"dreams": facts.count()},
    }
    about_elements = {
        (detector, element): facts.numbers(element, facts.rating())
        if detector == "element_drop"
        else {"rating": facts.rating()}
        for element, detector in elements.items()
    }
    about_whole = {(detector, None): numbers[detector] for detector in sorted(detectors)}
    return [
        Evidence(
            detector=detector,
            strength=1,
            session_id=uuid5(UUID(int=0), str(session)),
            occurred_at=FIRST_SESSION_AT + timedelta(weeks=session),
            element=element,
            numbers={**values, "session": session},
        )
        for (detector, element), values in (about_whole | about_elements).items()
    ]


@st.composite
def evidence(draw: st.DrawFn) -> list[Evidence]:
    facts = Facts(draw(st.randoms(use_true_random=False)))
    sessions = draw(st.sets(st.integers(1, 8), min_size=1, max_size=5))
    signs = []
    for session in sessions:
        detectors = draw(st.sets(st.sampled_from(SESSION_DETECTORS), min_size=1))
        element_detector = st.sampled_from(["element_drop", "at_floor"])
        elements = draw(st.dictionaries(st.sampled_from(ELEMENTS), element_detector, max_size=4))
        signs += session_signs(facts, session, detectors, elements)
    return draw(st.permutations(signs))


@given(evidence())
def test_no_text_names_a_number_twice(signs: list[Evidence]) -> None:
    sentences = [sentence.partition(": ") for sentence in describe_evidence(signs)]
    words = " ".join(text.replace(" of 10", "") for _, _, text in sentences)

    numbers = re.findall(r"\d+(?:\.\d+)?", words)
    assert len(numbers) == len(set(numbers)), words
    assert len({session for session, _, _ in sentences}) == len(sentences)


@given(evidence())
def test_there_are_at_most_three_sentences_with_the_newest_session_first(signs: list[Evidence]) -> None:
    sessions = [int(match.group(1)) for s in describe_evidence(signs) if (match := re.search(r"session (\d+):", s))]

    assert 1 <= len(sessions) <= 3
    assert sessions[0] == max(sign.numbers["session"] for sign in signs)
    assert sessions == sorted(sessions, reverse=True)


@given(evidence())
def test_nothing_within_its_band_is_described_as_a_fall(signs: list[Evidence]) -> None:
    words = " ".join(describe_evidence(signs))

    for sign in signs:
        if "low" in sign.numbers and sign.numbers["rating"] >= sign.numbers["low"]:
            rating = f"{sign.numbers['rating'] / 10:.1f}"
            assert not re.search(rf"(?:fell to|, to|lower than expected, the latest) {rating}\b", words), words


@given(evidence())
def test_every_sentence_can_be_read(signs: list[Evidence]) -> None:
    for sentence in describe_evidence(signs):
        assert re.fullmatch(r"[A-Z][a-z]+day \d+ [A-Z][a-z]+, after session \d+: [a-z].*[^.;:,]\.", sentence)
        assert "detected" not in sentence
        assert sentence.count(" of 10") <= 1
