"""Evidence in words: for every detector, and for one that is newer than we are."""

import pytest

from services.alliance.domain.detectors import BEHAVIOUR, CLIENT, CLINICIAN
from shared.events import Evidence
from shared.wording import sentence
from tests.given import BEGINNING

DETECTORS = sorted({detector.__name__ for detector in (*CLIENT, *CLINICIAN, *BEHAVIOUR)})


@pytest.mark.parametrize("detector", [*DETECTORS, "dreamt_of"])
def test_every_detector_has_a_sentence_even_without_numbers(detector: str) -> None:
    said = sentence(Evidence(detector=detector, strength=1, occurred_at=BEGINNING))

    assert said.endswith(".")
    assert "detected" not in said


def test_every_known_detector_has_a_sentence_of_its_own() -> None:
    said = {sentence(Evidence(detector=name, strength=1, occurred_at=BEGINNING)) for name in [*DETECTORS, "newer"]}

    assert len(said) == len(DETECTORS) + 1


def test_absence_is_counted_in_words() -> None:
    numbers = {"missed": 1.0, "cancelled_late": 2.0, "silent": 1.0}

    said = sentence(Evidence(detector="withdrawal", strength=1, occurred_at=BEGINNING, numbers=numbers))

    assert said == "Lately: 1 session missed, 2 sessions called off late, no answer to the last form."
