"""The properties of the simulated relationships of the standard trial."""

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from evaluation.simulation.generator import generate_mix, generate_ruptured, generate_stable
from evaluation.simulation.noise import NoiseLaw
from evaluation.simulation.settings import DEFAULT_PATH, KINDS, SimulatedWorld, load_settings
from evaluation.simulation.truth import (
    ABSENT,
    ENDED,
    HELD,
    LOOKALIKES,
    Course,
    Observations,
    Relationships,
    Ruptures,
    concatenate,
)

SETTINGS = load_settings()
ORDINAL = SETTINGS.world("ordinal").reported
RUPTURED = generate_ruptured(ORDINAL, 4000, seed=4)
STABLE = generate_stable(ORDINAL, 4000, seed=4)


def of_kind(relationships: Relationships, *kinds: str) -> Relationships:
    return relationships.select(np.isin(relationships.truth.kind, [KINDS.index(kind) for kind in kinds]))


def deviation(relationships: Relationships) -> np.ndarray:
    return relationships.observations.total - relationships.truth.course.expected_total


def test_the_same_seed_gives_the_same_relationships() -> None:
    first, second = (generate_ruptured(ORDINAL, 50, seed=7) for _ in range(2))

    for field in fields(Observations):
        np.testing.assert_array_equal(getattr(first.observations, field.name), getattr(second.observations, field.name))


def test_stable_and_ruptured_relationships_share_no_noise() -> None:
    both = np.corrcoef(np.nan_to_num(deviation(STABLE)).ravel(), np.nan_to_num(deviation(RUPTURED)).ravel())

    assert abs(both[0, 1]) < 0.03


def test_the_truth_is_drawn_before_anything_is_observed() -> None:
    """The same courses and ruptures, however many forms are missing and however coarse the answers are."""
    blurred = ORDINAL.model_copy(update={"missing_rate": 0.6, "answer_step": 50.0, "clinician_missing_rate": 0.9})
    truth, blurred_truth = RUPTURED.truth, generate_ruptured(blurred, 4000, seed=4).truth

    for field in fields(Ruptures):
        np.testing.assert_array_equal(getattr(truth.ruptures, field.name), getattr(blurred_truth.ruptures, field.name))
    for field in fields(Course):
        if field.name not in ("expected_total", "total_spread"):
            np.testing.assert_array_equal(getattr(truth.course, field.name), getattr(blurred_truth.course, field.name))


def test_ratings_are_whole_answers_within_the_scale() -> None:
    elements = STABLE.observations.elements
    ratings = elements[~np.isnan(elements)]

    assert ratings.min() >= 0
    assert ratings.max() == 100
    assert (ratings % 10 == 0).all()


def test_some_clients_answer_in_a_style_of_their_own() -> None:
    relationships = generate_stable(SETTINGS.world("styles").reported, 1000, seed=1)
    coarse = relationships.select(relationships.truth.clients.answer_step == 50)
    straight = relationships.select(relationships.truth.clients.is_straight_liner)

    assert 0.15 < len(coarse) / len(relationships) < 0.25
    assert set(np.unique(coarse.observations.elements[coarse.observations.answered])) <= {0, 50, 100}
    assert np.nanmax(np.ptp(straight.observations.elements, axis=2)) == 0


def test_three_quarters_of_the_variance_lie_between_relationships() -> None:
    course = STABLE.truth.course
    between, within = course.expected_total.mean(axis=1).var(), (course.total_spread**2).mean()

    assert 0.70 < between / (between + within) < 0.92


@pytest.mark.parametrize("world", SETTINGS.worlds, ids=lambda world: world.name)
def test_an_oracle_is_given_the_true_mean_and_spread_of_the_total(world: SimulatedWorld) -> None:
    """Except where clients answer only when the session was good: what they answer is then above their mean."""
    relationships = generate_stable(world.reported.model_copy(update={"selectivity": 0.0}), 3000, seed=2)
    standardised = deviation(relationships) / np.maximum(relationships.truth.course.total_spread, 1.0)

    assert abs(np.nanmean(standardised)) < 0.08
    assert 0.9 < np.nanmean(standardised**2) < 1.25


def test_ratings_fall_in_a_rupture_that_affects_all_elements() -> None:
    steps = of_kind(RUPTURED, "step")
    in_rupture = steps.truth.in_rupture

    assert np.nanmean(deviation(steps)[in_rupture]) < -6 < np.nanmean(deviation(steps)[~in_rupture])


def test_one_to_three_elements_fall_by_depths_of_their_own() -> None:
    drops = of_kind(RUPTURED, "elements").truth.ruptures.element_drop[:, 0]
    affected = (drops > 0).sum(axis=1)
    unequal = (drops.max(axis=1) > 1.5 * np.where(drops > 0, drops, np.inf).min(axis=1))[affected > 1]

    assert {1, 2, 3} == set(affected.tolist())
    assert unequal.mean() > 0.3


def test_withdrawal_shows_in_absence_and_silence_and_little_in_the_ratings() -> None:
    withdrawal = of_kind(RUPTURED, "withdrawal")
    in_rupture, appointment = withdrawal.truth.in_rupture, withdrawal.observations.appointment
    silent = (appointment == HELD) & ~withdrawal.observations.answered

    assert np.nanmean(deviation(withdrawal)[in_rupture]) > -4
    for sign in (appointment == ABSENT, silent):
        assert sign[in_rupture].mean() > 1.5 * sign[~in_rupture].mean()


def test_every_effect_of_a_rupture_may_be_absent() -> None:
    ruptures = RUPTURED.truth.ruptures

    for factor, added in (
        (ruptures.missing_factor, ruptures.missing_added),
        (ruptures.absence_factor, ruptures.absence_added),
    ):
        assert 0.15 < ((factor == 1) & (added == 0)).mean() < 0.3
        assert factor.max() > 3.5
    assert 0.4 < (ruptures.clinician_drop == 0).mean() < 0.75
    assert np.ptp(RUPTURED.truth.clients.clinician_awareness) > 0.8


def test_in_a_world_without_effects_only_the_ratings_change() -> None:
    without = [world for world in SETTINGS.worlds if not world.has_effects]
    assert len(without) >= 2
    for world in without:
        ruptures = generate_ruptured(world.reported, 300, seed=3).truth.ruptures
        assert (ruptures.missing_factor == 1).all()
        assert (ruptures.absence_factor == 1).all()
        assert (ruptures.clinician_drop == 0).all()
        assert not ruptures.is_seen.any()
        assert (ruptures.element_drop.max(axis=2) > 0).all()


def test_a_stable_relationship_has_the_rupture_that_it_would_have_had() -> None:
    ruptures = STABLE.truth.ruptures

    assert (ruptures.onset == 16).all()
    assert not STABLE.truth.in_rupture.any()
    assert (ruptures.depth > 0).all()


def test_some_stable_relationships_look_alarming() -> None:
    lookalike, total = STABLE.truth.clients.lookalike, STABLE.observations.total

    assert set(lookalike.tolist()) == set(range(len(LOOKALIKES)))
    assert np.nanmean(total[lookalike == LOOKALIKES.index("low from the start")]) < 45
    assert not RUPTURED.truth.clients.lookalike.any()


def test_there_are_no_ratings_after_the_end_of_a_relationship() -> None:
    observations = RUPTURED.observations

    assert (observations.appointment == ENDED).any()
    assert np.isnan(observations.total[observations.appointment != HELD]).all()
    assert np.isnan(observations.clinician_total[observations.appointment != HELD]).all()
    assert (RUPTURED.truth.onset_session < RUPTURED.truth.appointment_count).all()


def test_what_the_end_of_a_relationship_cuts_short_is_not_repaired() -> None:
    ruptures, course = RUPTURED.truth.ruptures, RUPTURED.truth.course
    runs_to_the_end = ruptures.end[:, 0] == course.appointment_count

    assert runs_to_the_end.any()
    assert (ruptures.end[:, 0] <= course.appointment_count).all()
    assert ruptures.is_repaired[~runs_to_the_end].mean() > ruptures.is_repaired[runs_to_the_end].mean()


def test_where_clients_select_what_they_answer_a_bad_session_is_answered_less_often() -> None:
    world = SETTINGS.world("selective").reported
    selective, others = (
        np.nanmean(deviation(generate_stable(world.model_copy(update={"selectivity": s}), 3000, seed=5)))
        for s in (0.7, 0.0)
    )

    assert selective > others + 1


def test_the_treatments_of_one_world_are_short() -> None:
    world = SETTINGS.world("brief").reported
    counts = generate_stable(world, 2000, seed=1).truth.appointment_count

    assert 6 <= np.median(counts) <= 8
    assert counts.min() >= 4


def test_a_mix_has_the_given_share_of_ruptures_and_treatments_of_realistic_lengths() -> None:
    mix = generate_mix(ORDINAL, 4000, 0.25, seed=1)

    assert 0.2 < (mix.truth.kind >= 0).mean() < 0.26  # some drop out before
    assert 7 <= np.median(mix.truth.appointment_count) <= 8
    assert (mix.observations.appointment[:, -1] == ENDED).mean() > 0.9


LAWS = [NoiseLaw("normal", 0), NoiseLaw("heavy", 3), NoiseLaw("skewed", 2)]


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
def test_noise_has_unit_spread_and_the_density_that_is_stated(law: NoiseLaw) -> None:
    sample, edges = law.sample((400_000,), np.random.default_rng(1)), np.linspace(-6, 6, 25)
    observed = np.histogram(sample, edges)[0] / len(sample)
    expected = np.array([law.density(np.linspace(low, low + 0.5, 201)).mean() * 0.5 for low in edges[:-1]])

    assert abs(sample.mean()) < 0.01
    assert 0.9 < sample.std() < 1.01
    np.testing.assert_allclose(observed, expected, atol=0.003)


def test_relationships_can_be_selected_and_joined() -> None:
    joined = concatenate(STABLE.select(slice(0, 2)), RUPTURED.select(np.array([5])))

    assert len(joined) == 3
    assert joined.truth.ruptures.depth[2] == RUPTURED.truth.ruptures.depth[5]


def test_a_misspelt_setting_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "worlds.toml"
    path.write_text(DEFAULT_PATH.read_text().replace("\nloading = 0.8 ", "\nlodaing = 0.8 "))

    with pytest.raises(ValidationError, match="lodaing"):
        load_settings(path)
