"""What could be known at best: exact probabilities of a rupture, of oracles that know more or less."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from evaluation.measures import Resamples, is_detected, peak_scores, thresholds_for_budget, window_scores
from evaluation.oracles import oracle_of_everything, oracle_of_person
from evaluation.posteriors import Evidence, onset_shares, own_rupture, sample_considered
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.question import ask, log_ratios_of_answers
from evaluation.simulation.settings import QuestionLaw, load_settings
from evaluation.simulation.truth import ENDED, EXCUSED, NOT_ANSWERED, FloatArray, Relationships

SETTINGS = load_settings()
WORLD = SETTINGS.world("ordinal").reported
COUNT, BASE_RATE = 200, 0.15
LAW: QuestionLaw = "candid"


@cache
def samples() -> tuple[Relationships, Relationships]:
    """Ordinary stable relationships, and ruptured ones."""
    stable = generate_stable(WORLD, 2 * COUNT, seed=21)
    return stable.select(np.flatnonzero(stable.truth.clients.lookalike == 0)[:COUNT]), generate_ruptured(
        WORLD, COUNT, seed=21
    )


@cache
def evidence(of_ruptured: bool, knows_rupture: bool, with_behaviour: bool = True) -> Evidence:
    relationships = samples()[of_ruptured]
    considered = sample_considered(WORLD, relationships.truth.clients, 16, np.random.default_rng(5))
    ruptures, shares = own_rupture(relationships) if knows_rupture else considered
    return Evidence.weigh(relationships, WORLD, ruptures, shares, with_behaviour)


def posteriors(knows_rupture: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The probability, whether there is a rupture, and the weight of each appointment in a mix at the base rate."""
    parts = []
    for of_ruptured, weight in ((False, 1 - BASE_RATE), (True, BASE_RATE)):
        relationships = samples()[of_ruptured]
        is_counted = relationships.observations.appointment != ENDED
        said = evidence(of_ruptured, knows_rupture).posterior(onset_shares(WORLD, 16), BASE_RATE)
        parts.append((said[is_counted], relationships.truth.in_rupture[is_counted], np.full(is_counted.sum(), weight)))
    said, present, weights = (np.concatenate(part) for part in zip(*parts, strict=True))
    return said, present, weights


def squared_error(knows_rupture: bool) -> float:
    said, present, weights = posteriors(knows_rupture)
    return float(np.average((said - present) ** 2, weights=weights))


def share_found(stable: FloatArray, ruptured: FloatArray) -> float:
    threshold = thresholds_for_budget(peak_scores(stable), Resamples.draw(COUNT, 0, seed=0), 0.2)
    return float(is_detected(window_scores(ruptured, samples()[1], 2), threshold)[0].mean())


def without_observations(relationships: Relationships) -> Relationships:
    """The same with every appointment cancelled in time."""
    observed = relationships.observations
    nothing = {name: np.full_like(getattr(observed, name), np.nan) for name in ("total", "elements", "clinician_total")}
    excused = np.full_like(observed.appointment, EXCUSED)
    return replace(relationships, observations=replace(observed, appointment=excused, **nothing))


@pytest.mark.parametrize("name", ["ordinal", "heavy"])
def test_the_score_of_the_own_rupture_is_that_of_the_oracle_that_knows_everything(name: str) -> None:
    world = SETTINGS.world(name).reported
    relationships = generate_ruptured(world, 60, seed=22)
    score = Evidence.weigh(relationships, world, *own_rupture(relationships), False).score()
    is_given = relationships.observations.answered

    np.testing.assert_allclose(score[is_given], oracle_of_everything(relationships, world)[is_given])


def test_before_anything_is_seen_the_probability_is_the_base_rate() -> None:
    """The probability of a rupture then is the share of ruptures with an onset at which it is still present."""
    silent = without_observations(samples()[1])
    nothing = Evidence.weigh(silent, WORLD, *own_rupture(silent), False)
    shares = onset_shares(WORLD, 16)
    said = nothing.posterior(shares, BASE_RATE)
    ever = replace(nothing, is_present=np.ones_like(nothing.is_present)).posterior(shares, BASE_RATE)

    np.testing.assert_allclose(nothing.log_ratio, 0, atol=1e-9)
    np.testing.assert_allclose(ever, BASE_RATE)
    np.testing.assert_allclose(said, BASE_RATE * (nothing.is_present * shares).sum(axis=(1, 2)), rtol=1e-9)
    assert (said[:, 0] == 0).all()


def test_a_relationship_that_goes_on_says_how_likely_its_client_was_to_stay_in_a_rupture() -> None:
    """In a trial, only clients with a rupture drop out."""
    world, row, t = WORLD.model_copy(update={"dropout_rate": 0.05}), np.arange(1500), 10
    relationships = generate_ruptured(world, len(row), seed=25)
    silent, truth = without_observations(relationships), relationships.truth
    stays = np.exp(Evidence.weigh(silent, world, *own_rupture(silent), True).log_ratio[row, 0, truth.onset_session, t])

    for first, last in ((1, 4), (5, 9)):
        began = (truth.onset_session >= first) & (truth.onset_session <= last)
        still = truth.appointment_count[began] > t
        assert still.mean() < 0.9
        assert stays[began].mean() == pytest.approx(still.mean(), abs=0.06)


@pytest.mark.parametrize("knows_rupture", [True, False], ids=["everything", "client"])
def test_what_an_oracle_says_is_so(knows_rupture: bool) -> None:
    said, present, weights = posteriors(knows_rupture)

    for low, high in ((0, 0.05), (0.05, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1)):
        in_bin = (said >= low) & (said < high)
        predicted, observed = (np.average(part[in_bin], weights=weights[in_bin]) for part in (said, present))
        effective = weights[in_bin].sum() ** 2 / (weights[in_bin] ** 2).sum() / 3  # appointments are not independent
        noise = np.sqrt(predicted * (1 - predicted) / effective)
        assert observed == pytest.approx(predicted, abs=0.01 + 3 * noise)


def test_who_knows_more_finds_and_says_more() -> None:
    everything, client = (
        share_found(evidence(False, knows).score(), evidence(True, knows).score()) for knows in (True, False)
    )
    person = share_found(*(oracle_of_person(sample) for sample in samples()))

    assert everything >= client >= person
    assert squared_error(True) < squared_error(False) < BASE_RATE * (1 - BASE_RATE) * 0.5


def test_an_oracle_does_not_look_ahead() -> None:
    known, relationships = 9, samples()[1].select(slice(0, 20))
    is_later, observed = np.arange(16) >= known, relationships.observations
    truncated = replace(
        relationships,
        observations=replace(
            observed,
            total=np.where(is_later, np.nan, observed.total),
            elements=np.where(is_later[:, None], np.nan, observed.elements),
            clinician_total=np.where(is_later, np.nan, observed.clinician_total),
        ),
    )
    ruptures, shares = sample_considered(WORLD, relationships.truth.clients, 16, np.random.default_rng(6))
    whole, part = (Evidence.weigh(sample, WORLD, ruptures, shares, True) for sample in (relationships, truncated))

    np.testing.assert_allclose(part.log_ratio[..., :known], whole.log_ratio[..., :known])


def test_the_ruptures_considered_are_those_of_the_world() -> None:
    clients = samples()[1].truth.clients
    ruptures, shares = sample_considered(WORLD, clients, 16, np.random.default_rng(7))
    low, high = WORLD.ruptures.depth

    for kind, share in enumerate(WORLD.ruptures.kinds.values()):
        assert shares[ruptures.kind[0] == kind].sum() == pytest.approx(share / sum(WORLD.ruptures.kinds.values()))
    assert (ruptures.depth @ shares).mean() == pytest.approx((low + high) / 2, abs=0.02)
    assert (ruptures.kind == ruptures.kind[:1]).all()
    mute = SETTINGS.world("mute").reported
    assert set(sample_considered(mute, clients, 16, np.random.default_rng(7))[0].kind[0]) == {0, 1, 2, 3}


def test_an_onset_is_as_likely_as_in_a_trial_that_is_still_going_on() -> None:
    world = SETTINGS.world("brief").reported.model_copy(update={"dropout_rate": 0.0})
    truth = generate_ruptured(world, 6000, seed=23).truth
    stable = generate_stable(world, 6000, seed=23).truth.appointment_count
    shares = onset_shares(world, 16)

    for onset, t in ((1, 1), (1, 9), (4, 9), (7, 3), (9, 9)):
        still = (truth.onset_session == onset) & (truth.appointment_count > t)
        assert shares[onset, t] == pytest.approx(still.mean() / (stable > t).mean(), rel=0.15, abs=1e-9)


@pytest.mark.parametrize("law", ["candid", "reticent", "habitual"])
def test_the_ratio_of_answers_is_how_much_more_frequent_they_are_in_a_rupture(law: QuestionLaw) -> None:
    """Over answers of no rupture its mean is 1, and over answers of ruptures the mean of its inverse."""
    relationships = generate_ruptured(WORLD, 4000, seed=24)
    asked = ask(relationships, SETTINGS.question, law, seed=1)
    client, clinician = (np.exp(part) for part in log_ratios_of_answers(asked, SETTINGS.question, law))
    in_rupture, answered = asked.truth.in_rupture, asked.observations.tension != NOT_ANSWERED
    is_seen = in_rupture & asked.truth.ruptures.is_seen
    reported = asked.observations.clinician_tension != NOT_ANSWERED

    assert client[answered & ~in_rupture].mean() == pytest.approx(1, abs=0.08)
    assert (1 / client[answered & in_rupture]).mean() == pytest.approx(1, abs=0.08)
    assert (1 / clinician[reported & is_seen]).mean() == pytest.approx(1, abs=0.08)
    assert (client[~answered] == 1).all()
    assert (clinician[~reported] == 1).all()


def test_an_answer_counts_for_the_ruptures_that_are_present_and_noticed() -> None:
    relationships = samples()[1]
    asked = ask(relationships, SETTINGS.question, LAW, seed=1)
    client, clinician = log_ratios_of_answers(asked, SETTINGS.question, LAW)
    own = evidence(True, True)
    ruptures = relationships.truth.ruptures
    added = own.with_answers(client, clinician, ruptures.is_seen).log_ratio - own.log_ratio
    row, onset = 3, int(ruptures.onset[3, 0])
    answers = client[row] + ruptures.is_seen[row, 0] * clinician[row]
    end = int(ruptures.onset[row, 0] + own.is_present[row, 0, onset].sum())

    assert added[row, 0, onset, onset] == pytest.approx(answers[onset])
    assert added[row, 0, onset, 15] == pytest.approx(answers[onset:end].sum())
