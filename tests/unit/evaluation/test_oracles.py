"""The upper bounds: no method finds more, and none of them looks ahead."""

from dataclasses import replace
from functools import cache, partial

import numpy as np
import pytest

from evaluation.measures import Method, Resamples, is_detected, peak_scores, thresholds_for_budget, window_scores
from evaluation.methods import METHODS
from evaluation.oracles import ONSET_WEIGHTS, oracle_of_everything, oracle_of_person
from evaluation.simulation.generator import generate_long, generate_ruptured, generate_stable
from evaluation.simulation.settings import TOTAL_VISIBLE_KINDS, SimulatedWorld, load_settings
from evaluation.simulation.truth import Relationships

SETTINGS = load_settings()
BUDGET, COUNT = 0.2, 400
TOLERANCE = 0.02  # of the share found: the methods are compared on the same relationships


@cache
def samples(name: str) -> tuple[Relationships, Relationships]:
    world = SETTINGS.world(name).reported
    return generate_stable(world, COUNT, seed=11), generate_ruptured(world, COUNT, seed=11)


def share_found(score: Method, name: str) -> tuple[float, float]:
    """The share of ruptures found within two appointments at the budget: of those that the total shows, and of all."""
    stable, ruptured = samples(name)
    itself = Resamples.draw(COUNT, 0, seed=0)
    threshold = thresholds_for_budget(peak_scores(score(stable)), itself, BUDGET)
    found = is_detected(window_scores(score(ruptured), ruptured, 2), threshold)[0]
    return float(found[np.isin(ruptured.truth.kind, TOTAL_VISIBLE_KINDS)].mean()), float(found.mean())


@pytest.mark.parametrize("world", SETTINGS.worlds, ids=lambda world: world.name)
def test_nothing_finds_more_than_the_oracle_that_knows_everything(world: SimulatedWorld) -> None:
    everything, with_behaviour = (
        share_found(partial(oracle_of_everything, world=world.reported, with_behaviour=uses), world.name)
        for uses in (False, True)
    )
    others = {name: share_found(method, world.name) for name, method in METHODS.items()}
    others["oracle of the person"] = share_found(oracle_of_person, world.name)

    assert {name for name, shares in others.items() if shares[0] > everything[0] or shares[1] > everything[1]} == set()
    assert with_behaviour[1] >= everything[1] - TOLERANCE


def test_the_oracle_of_the_person_finds_more_than_charts_that_must_learn_the_person() -> None:
    person = share_found(oracle_of_person, "gaussian")[0]
    chart = share_found(METHODS["Shewhart, own spread"], "gaussian")[0]

    assert person > chart + 0.1


@pytest.mark.parametrize("with_behaviour", [False, True], ids=["client", "all"])
@pytest.mark.parametrize("name", ["gaussian", "heavy", "styles"])
def test_the_score_is_the_logarithm_of_a_likelihood_ratio(name: str, with_behaviour: bool) -> None:
    """Scores of ruptures that began lately are as much more frequent than the same scores of none as they say."""
    world = SETTINGS.world(name).reported.model_copy(update={"dropout_rate": 0.0})
    stable, ruptured = generate_stable(world, 1200, seed=12), generate_ruptured(world, 2000, seed=12)
    stable = stable.select(stable.truth.clients.lookalike == 0)
    weights, session = np.array(ONSET_WEIGHTS), np.arange(16)
    age, latest = session - ruptured.truth.onset_session[:, None], len(weights)
    counted = (age >= 0) & (age < latest) & (session >= latest)
    in_rupture = oracle_of_everything(ruptured, world, with_behaviour)[counted] - np.log(weights.sum())
    weight = np.where(np.isnan(in_rupture), 0, weights[age[counted]])
    none = oracle_of_everything(stable, world, with_behaviour)[:, latest:14].ravel() - np.log(weights.sum())
    none = none[~np.isnan(none)]

    for low, high in ((0, 1), (1, 2)):
        observed = (weight * ((in_rupture >= low) & (in_rupture < high))).sum() / weight.sum()
        expected = np.exp(none[(none >= low) & (none < high)]).sum() / len(none)
        assert observed == pytest.approx(expected, rel=0.25)


def test_an_oracle_does_not_look_ahead() -> None:
    _, ruptured = samples("ordinal")
    known = 9
    later = np.arange(16) >= known
    observed = ruptured.observations
    truncated = replace(
        ruptured,
        observations=replace(
            observed,
            total=np.where(later, np.nan, observed.total),
            elements=np.where(later[:, None], np.nan, observed.elements),
            clinician_total=np.where(later, np.nan, observed.clinician_total),
        ),
    )
    world = SETTINGS.world("ordinal").reported
    for score in (
        oracle_of_person,
        lambda sample: oracle_of_everything(sample, world),
        lambda sample: oracle_of_everything(sample, world, with_behaviour=True),
    ):
        np.testing.assert_allclose(score(truncated)[:, :known], score(ruptured)[:, :known], rtol=1e-9)


def test_absence_and_silence_say_nothing_while_the_source_is_stale() -> None:
    world = SETTINGS.world("ordinal").reported
    relationships = generate_long(world, SETTINGS.long, 60, 3, "mixed")
    observed = relationships.observations
    all_answered_stale = replace(
        relationships,
        observations=replace(
            observed,
            source_gap=np.ones_like(observed.source_gap),
            clinician_total=np.full_like(observed.clinician_total, np.nan),
        ),
    )

    np.testing.assert_allclose(
        oracle_of_everything(all_answered_stale, world, with_behaviour=True)[observed.answered],
        oracle_of_everything(relationships, world)[observed.answered],
    )


def test_the_oracle_finds_the_second_rupture_too_and_knows_a_level_shift() -> None:
    world = SETTINGS.world("gaussian").reported
    mixed, shifted = (generate_long(world, SETTINGS.long, 150, 4, sample) for sample in ("mixed", "shift"))
    scores = oracle_of_everything(mixed, world)
    is_second = (mixed.truth.course.number == 1) & (mixed.truth.course.severity > 0.9)
    course, session = shifted.truth.course, np.arange(100)
    does_not_know = replace(course, level=np.repeat(course.level[:, :1], 100, axis=1))
    unaware = oracle_of_everything(replace(shifted, truth=replace(shifted.truth, course=does_not_know)), world)
    after = (course.shift_points < 0)[:, None] & (session >= course.shift_session[:, None])

    assert np.nanmedian(scores[is_second]) > np.nanquantile(scores[~mixed.truth.in_rupture], 0.75)
    assert np.nanquantile(oracle_of_everything(shifted, world)[after], 0.9) < 1
    assert np.nanquantile(unaware[after], 0.9) > 3
