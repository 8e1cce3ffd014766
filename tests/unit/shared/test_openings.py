"""The reviewed catalogue of openings has a fitting text for every sign."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from shared.clinical.openings import CATALOGUE, Catalogue, SignKey, load_catalogue
from shared.events import Element, Evidence
from tests.support.builders import ELEMENTS, FIRST_SESSION_AT

CATALOGUE_DATA = CATALOGUE.model_dump()


def sign(detector: str, strength: float = 1, **fields: Any) -> Evidence:
    return Evidence(**{"detector": detector, "strength": strength, "occurred_at": FIRST_SESSION_AT, **fields})


def absence(strength: float = 1) -> Evidence:
    return sign("withdrawal", strength, numbers={"missed": 1})


@pytest.mark.parametrize("element", ELEMENTS)
def test_every_element_has_an_opening_of_its_own(element: str) -> None:
    others = {e: CATALOGUE.suggest([sign("element_drop", element=e)]) for e in ELEMENTS if e != element}

    assert CATALOGUE.suggest([sign("element_drop", element=element)]) not in others.values()


def test_withdrawal_and_confrontation_have_different_openings() -> None:
    for_withdrawal = CATALOGUE.suggest([absence()])
    for_confrontation = CATALOGUE.suggest([sign("told_directly", numbers={"by_client": 1})])

    assert (len(for_withdrawal), len(for_confrontation)) == (2, 2)
    assert not set(for_withdrawal) & set(for_confrontation)


@pytest.mark.parametrize("numbers", [{"silent": 1, "missed": 0}, {"cut_short": 1, "missed": 0}])
def test_nobody_who_came_every_time_is_said_to_have_come_less(numbers: dict[str, float]) -> None:
    suggestions = CATALOGUE.suggest([sign("withdrawal", numbers=numbers)])

    assert len(suggestions) == 2
    assert not set(suggestions) & set(CATALOGUE.suggest([absence()]))
    assert not any("less" in text or "stay away" in text for text in suggestions)


def test_a_form_that_lapsed_after_absences_has_an_opening_for_each() -> None:
    silence, absences = ([sign("withdrawal", numbers={name: 1})] for name in ("silent", "missed"))

    both = CATALOGUE.suggest([sign("withdrawal", numbers={"silent": 1, "missed": 2})])

    assert both == [CATALOGUE.suggest(silence)[0], CATALOGUE.suggest(absences)[0]]
    assert CATALOGUE.suggest([sign("withdrawal")]) == CATALOGUE.suggest([sign("dreamt_of")])


def test_a_tension_reported_by_the_clinician_is_not_attributed_to_the_client() -> None:
    by_client, by_clinician = ([sign("told_directly", numbers={"by_client": who})] for who in (1, 0))

    assert not set(CATALOGUE.suggest(by_client)) & set(CATALOGUE.suggest(by_clinician))


def test_the_newest_sign_comes_first_and_another_kind_second() -> None:
    newer = FIRST_SESSION_AT + timedelta(weeks=1)

    suggestions = CATALOGUE.suggest([absence(2), sign("sudden_drop", 1, occurred_at=newer)])

    assert suggestions == [CATALOGUE.suggest([sign("sudden_drop")])[0], CATALOGUE.suggest([absence()])[0]]


def test_of_one_answer_the_whole_comes_first_and_then_the_element_that_fell_most() -> None:
    whole = sign("at_floor", numbers={"rating": 32.0})
    low_trust = sign("at_floor", 3, element="trust", numbers={"rating": 10.0})
    respect, fit = sign("element_drop", 1, element="respect"), sign("element_drop", 2, element="fit")

    assert CATALOGUE.suggest([low_trust, whole])[0] == CATALOGUE.suggest([whole])[0]
    assert CATALOGUE.suggest([respect, fit])[0] == CATALOGUE.suggest([fit])[0]


def test_a_sign_that_is_not_described_has_no_opening() -> None:
    within_band = sign("clinician_drop", numbers={"rating": 79.0, "low": 78.0})

    suggestions = CATALOGUE.suggest([absence(), within_band])

    assert suggestions == CATALOGUE.suggest([absence()])


@pytest.mark.parametrize("element", [None, *ELEMENTS])
def test_an_answer_at_the_floor_has_openings_that_ask_what_it_means(element: Element | None) -> None:
    suggestions = CATALOGUE.suggest([sign("at_floor", element=element)])

    assert "?" in suggestions[0]
    assert not {"fell", "fallen", "down", "dropped"} & set(" ".join(suggestions).split())
    assert suggestions[0] not in CATALOGUE.suggest([sign("element_drop", element=element or "trust")])


@pytest.mark.parametrize("element", ELEMENTS)
def test_the_opening_of_a_low_element_says_first_that_the_mark_was_low(element: Element) -> None:
    assert CATALOGUE.suggest([sign("at_floor", element=element)])[0].startswith("You gave a low mark to ")


def test_a_form_of_zeros_is_asked_about_as_a_whole() -> None:
    zeros = [sign("at_floor", element=element, numbers={"rating": 0.0}) for element in (None, *ELEMENTS)]

    assert CATALOGUE.suggest(zeros) == CATALOGUE.suggest([sign("at_floor", numbers={"rating": 0.0})])


def test_a_sign_newer_than_the_catalogue_gets_an_open_question() -> None:
    assert len(CATALOGUE.suggest([sign("dreamt_of")])) == 2
    assert CATALOGUE.suggest([sign("dreamt_of"), absence(0.5)])[0] == CATALOGUE.suggest([absence()])[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detector": "dreamt_of"}, "unknown detector dreamt_of"),
        ({"detector": "withdrawal"}, "a kind is required for"),
        ({"detector": "withdrawal", "element": "trust"}, "an element is required for"),
        ({"detector": "element_drop"}, "an element is required for"),
        ({"detector": "told_directly"}, "a reporter is required for"),
        ({"text": "Well?"}, "at least 20 characters"),
        ({"text": "So " * 60}, "at most 160 characters"),
        ({"source": ""}, "at least 10 characters"),
        ({"txt": "a misspelt field"}, "not permitted"),
        ({}, "duplicate texts"),
    ],
)
def test_an_invalid_opening_is_rejected_with_the_reason(change: dict[str, Any], message: str) -> None:
    openings = [*CATALOGUE_DATA["opening"], {**CATALOGUE_DATA["opening"][-1], **change}]

    with pytest.raises(ValidationError, match=message):
        Catalogue.model_validate({"version": 1, "opening": openings})


@pytest.mark.parametrize("missing", sorted({o.sign_key for o in CATALOGUE.opening}, key=str))
def test_every_sign_must_have_an_opening(missing: SignKey) -> None:
    openings = [o for o in CATALOGUE.opening if o.sign_key != missing]

    with pytest.raises(ValidationError, match="no opening matches"):
        Catalogue(version=1, opening=tuple(openings))


def test_a_file_that_is_not_toml_is_rejected_with_the_line(tmp_path: Path) -> None:
    file = tmp_path / "openings.toml"
    file.write_text("version = 1\n[[opening]\n")

    with pytest.raises(ValueError, match="line 2"):
        load_catalogue(file)
