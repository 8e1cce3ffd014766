"""How the direct question is answered under each law."""

from dataclasses import fields, replace

import numpy as np
import pytest

from evaluation.simulation.generator import generate_ruptured
from evaluation.simulation.question import ask, ask_nothing
from evaluation.simulation.settings import QuestionLaw, load_settings
from evaluation.simulation.truth import NOT_ANSWERED, YES, Observations, Relationships

SETTINGS = load_settings()
WORLD = SETTINGS.world("ordinal").reported.model_copy(update={"dropout_rate": 0.0})
RELATIONSHIPS = generate_ruptured(WORLD, 4000, seed=6)
LAWS: tuple[QuestionLaw, ...] = ("candid", "reticent", "habitual")
UNDER = {law: ask(RELATIONSHIPS, SETTINGS.question, law, seed=1) for law in LAWS}
ANSWERS = {"tension", "talked_about", "clinician_tension", "clinician_talked_about"}


def report_rate(relationships: Relationships, in_rupture: bool) -> float:
    """The share of submitted forms, in a rupture or not, that report tension."""
    observations = relationships.observations
    counted = observations.answered & (relationships.truth.in_rupture == in_rupture)
    return float((observations.tension[counted] > 0).mean())


@pytest.mark.parametrize("law", LAWS)
def test_only_the_answers_to_the_question_differ_between_the_laws(law: QuestionLaw) -> None:
    for field in fields(Observations):
        if field.name not in ANSWERS:
            assert getattr(UNDER[law].observations, field.name) is getattr(RELATIONSHIPS.observations, field.name)
    assert UNDER[law].truth is RELATIONSHIPS.truth
    np.testing.assert_array_equal(
        UNDER[law].observations.clinician_tension, UNDER["candid"].observations.clinician_tension
    )


def test_a_candid_client_reports_tension_in_up_to_four_of_five_sessions_of_a_rupture() -> None:
    assert report_rate(UNDER["candid"], True) == pytest.approx(0.4, abs=0.04)
    assert report_rate(UNDER["candid"], False) == pytest.approx(0.075, abs=0.01)


def test_a_reticent_client_rarely_reports_it_and_rarely_falsely() -> None:
    assert report_rate(UNDER["reticent"], True) == pytest.approx(0.125, abs=0.03)
    assert report_rate(UNDER["reticent"], False) == pytest.approx(0.015, abs=0.01)


def test_six_per_cent_answer_yes_nearly_always() -> None:
    observations = UNDER["habitual"].observations
    has_forms = observations.answered.sum(axis=1) >= 5
    yes_share = ((observations.tension == YES).sum(axis=1) / np.maximum(observations.answered.sum(axis=1), 1))[
        has_forms
    ]

    assert (yes_share > 0.7).mean() == pytest.approx(0.06, abs=0.015)


def test_some_clients_never_report_a_rupture() -> None:
    candid = UNDER["candid"].truth.clients.candour < 0.05
    reports = UNDER["candid"].observations.tension[candid] > 0

    assert reports[UNDER["candid"].truth.in_rupture[candid]].mean() < 0.04


def test_the_question_is_answered_only_on_a_submitted_form() -> None:
    observations = UNDER["candid"].observations

    assert (observations.tension[~observations.answered] == NOT_ANSWERED).all()
    assert (observations.tension[observations.answered] != NOT_ANSWERED).all()
    assert (observations.talked_about[observations.tension <= 0] == NOT_ANSWERED).all()
    assert (observations.talked_about[observations.tension > 0] == NOT_ANSWERED).any()
    assert set(np.unique(observations.talked_about)) == {NOT_ANSWERED, 0, 1, 2}


def test_nothing_is_answered_where_the_question_is_not_asked() -> None:
    unasked = ask_nothing(UNDER["candid"]).observations

    assert all((getattr(unasked, name) == NOT_ANSWERED).all() for name in ANSWERS)
    assert replace(unasked, **{name: getattr(RELATIONSHIPS.observations, name) for name in ANSWERS}) == replace(
        RELATIONSHIPS.observations
    )
