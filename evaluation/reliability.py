"""Whether the probability is one: what is said after each appointment against whether there is a rupture."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.measures import Estimate, Resamples, ratio
from evaluation.simulation.truth import ENDED, FloatArray, Relationships
from evaluation.trial import ATTUNE, Messages, WorldTrial

BINS = 10  # of equal width, from 0 to 1
MIN_BIN_APPOINTMENTS, FIRST_BIN_WITH_BAR = 200, 5  # fewer appointments say little; the bar is about bins above .5
LEAST_PROBABILITY = 1e-12  # that an oracle says: 0 is where nothing is said


@dataclass(frozen=True, slots=True)
class Reliability:
    """What was said and what was so, of relationships mixed at a base rate."""

    count: FloatArray
    """Appointments in each bin."""
    predicted: FloatArray
    """The mean probability in each bin; the first axis is that of the resamples."""
    observed: FloatArray
    """The share of appointments in a rupture, in each bin."""
    brier_skill: Estimate
    """Against the share of all appointments that are in a rupture: 0 as good as saying that share, 1 perfect."""

    @property
    def worst_gap(self) -> Estimate | None:
        """The largest distance of what was said from what was so; None if no bin with a bar has enough appointments."""
        has_bar = (np.arange(BINS) >= FIRST_BIN_WITH_BAR) & (self.count >= MIN_BIN_APPOINTMENTS)
        if not has_bar.any():
            return None
        gaps = np.abs(self.predicted - self.observed)
        return np.asarray(gaps[:, np.argmax(np.where(has_bar, gaps[0], -1.0))])


@dataclass(frozen=True, slots=True)
class _Said:
    """Probabilities, one a row, and whether there was a rupture."""

    probability: FloatArray
    in_rupture: FloatArray
    is_counted: FloatArray

    @classmethod
    def of(cls, relationships: Relationships, probability: FloatArray) -> "_Said":
        rows = slice(0, len(probability))
        is_counted = (relationships.observations.appointment[rows] != ENDED) & (probability > 0)
        return cls(probability, 1.0 * relationships.truth.in_rupture[rows], 1.0 * is_counted)

    def sums(self) -> FloatArray:
        """Of each relationship: appointments, probabilities and ruptures in each bin, and squared errors at the end."""
        bins = np.minimum((self.probability * BINS).astype(int), BINS - 1)
        in_bin = (bins[..., None] == np.arange(BINS)) * self.is_counted[..., None]
        squares = (self.is_counted * (self.probability - self.in_rupture) ** 2).sum(axis=1)
        parts = [in_bin, in_bin * self.probability[..., None], in_bin * self.in_rupture[..., None]]
        return np.concatenate([*(part.sum(axis=1) for part in parts), squares[:, None]], axis=1)


def ruptured_weight(stable: int, ruptured: int, base_rate: float) -> float:
    """How often each ruptured relationship counts, so that `base_rate` of all have a rupture."""
    return base_rate / (1 - base_rate) * stable / ruptured


def measure_reliability(trial: WorldTrial, asking: str, base_rate: float) -> Reliability:
    """The reliability with one asking, at one of the base rates of `trial.messages_at_base_rate`."""
    return _measure(trial, _said(trial, trial.messages_at_base_rate[base_rate][asking]), base_rate)


def measure_skills(trial: WorldTrial, asking: str, base_rate: float) -> dict[str, Estimate]:
    """The Brier skills of both oracles and of Attune.

    They are of the same relationships, and of the appointments after which Attune says something.
    """
    attune = [said.probability for said in _said(trial, trial.messages_at_base_rate[base_rate][asking])]
    seen = {
        oracle: (posteriors.stable, posteriors.ruptured)
        for (oracle, of_asking, rate), posteriors in trial.posteriors.items()
        if (of_asking, rate) == (asking, base_rate)
    }
    samples, skills = (trial.samples.stable, trial.samples.ruptured), dict[str, Estimate]()
    for name, probabilities in {ATTUNE: tuple(attune), **seen}.items():
        parts = []
        for sample, said, of_attune in zip(samples, probabilities, attune, strict=True):
            count = min(len(of_attune), *(len(stable) for stable, _ in seen.values()))
            is_said = of_attune[:count] > 0
            parts.append(_Said.of(sample, np.where(is_said, np.maximum(said[:count], LEAST_PROBABILITY), 0.0)))
        skills[name] = _measure(trial, (parts[0], parts[1]), base_rate).brier_skill
    return skills


def _measure(trial: WorldTrial, said: tuple[_Said, _Said], base_rate: float) -> Reliability:
    stable, ruptured = (part.sums() for part in said)
    weight = ruptured_weight(len(stable), len(ruptured), base_rate)
    if len(stable) == len(trial.samples.stable):
        resamples = trial.resamples.stable, trial.resamples.ruptured
    else:
        drawn = len(trial.resamples.stable.weights) - 1
        resamples = Resamples.draw(len(stable), drawn, 0), Resamples.draw(len(ruptured), drawn, 1)
    sums = resamples[0].weights @ stable + weight * resamples[1].weights @ ruptured
    count, predicted, observed = np.moveaxis(sums[:, :-1].reshape(len(sums), 3, BINS), 1, 0)
    share = observed.sum(axis=1) / count.sum(axis=1)
    brier = sums[:, -1] / count.sum(axis=1)
    return Reliability(count[0], ratio(predicted, count), ratio(observed, count), 1 - brier / (share * (1 - share)))


def _said(trial: WorldTrial, messages: Messages) -> tuple[_Said, _Said]:
    return (
        _Said.of(trial.samples.stable, messages.stable.probability),
        _Said.of(trial.samples.ruptured, messages.ruptured.probability),
    )


def recalibrate(trials: Iterable[WorldTrial], asking: str, base_rate: float) -> tuple[float, float]:
    """The offset and slope of log-odds that all worlds together suggest: 0 and 1 if the probability is one."""
    log_odds, in_rupture, weights = list[FloatArray](), list[FloatArray](), list[FloatArray]()
    for trial in trials:
        said = _said(trial, trial.messages_at_base_rate[base_rate][asking])
        weight = ruptured_weight(len(said[0].probability), len(said[1].probability), base_rate)
        for part, counts in zip(said, (1.0, weight), strict=True):
            is_counted = part.is_counted > 0
            probability = np.clip(part.probability[is_counted], 1e-9, 1 - 1e-9)
            log_odds.append(np.log(probability) - np.log1p(-probability))
            in_rupture.append(part.in_rupture[is_counted])
            weights.append(np.full(len(probability), counts))
    return fit_logistic(np.concatenate(log_odds), np.concatenate(in_rupture), np.concatenate(weights))


def fit_logistic(x: FloatArray, y: FloatArray, weights: FloatArray) -> tuple[float, float]:
    """The offset and the slope of the weighted logistic regression of `y` on `x`, by Newton's method."""
    share = (weights * y).sum() / weights.sum()
    design, coefficients = np.stack([np.ones(len(x)), x], axis=1), np.array([np.log(share / (1 - share)), 0.0])
    for _ in range(25):
        p = 1 / (1 + np.exp(-design @ coefficients))
        gradient = design.T @ (weights * (y - p))
        step = np.linalg.solve(design.T @ (design * (weights * p * (1 - p))[:, None]), gradient)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            break
    return float(coefficients[0]), float(coefficients[1])
