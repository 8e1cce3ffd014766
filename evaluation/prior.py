"""What a clinic's history leads to expect of a relationship nothing is known of yet.

Fitted by moments from histories in which nobody has marked the ruptures, as a clinic's recalibration would.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.relationships import AWAY, HELD, Numbers, Relationships

ENOUGH = 4  # ratings or appointments from which on a relationship says something about the others


@dataclass(frozen=True, slots=True)
class Usual:
    """One rater's ratings in this clinic, in points."""

    mean: float
    varies: float
    """Between relationships."""
    spread: float
    """Within one, on average."""
    at_top: float
    """Within one whose level is 100."""
    widening: float
    """Per point below 100."""


@dataclass(frozen=True, slots=True)
class Habit:
    """How often something happens: what a relationship is expected to have seen before it began."""

    happened: float
    not_happened: float


@dataclass(frozen=True, slots=True)
class Prior:
    client: Usual
    clinician: Usual
    element: Usual
    """How an element lies beside the others."""
    silence: Habit
    absence: Habit


def fit(history: Relationships) -> Prior:
    """The prior of a clinic with this history."""
    seen = history.seen
    held, away, answered = seen.appointment == HELD, seen.appointment == AWAY, seen.answered
    return Prior(
        _usual(seen.total[..., None], seen.total),
        _usual(seen.clinician[..., None], seen.clinician),
        _usual(beside_the_others(seen.elements), seen.total),
        _habit((held & ~answered).sum(axis=1), held.sum(axis=1)),
        _habit(away.sum(axis=1), (held | away).sum(axis=1)),
    )


def beside_the_others(elements: Numbers) -> Numbers:
    """How far each element lies above the mean of the others."""
    count = elements.shape[-1]
    return (elements - elements.mean(axis=-1, keepdims=True)) * count / (count - 1)


def _usual(ratings: Numbers, level: Numbers) -> Usual:
    """The last axis holds what is rated at once: one total, or eight elements that share a spread."""
    count = (~np.isnan(level)).sum(axis=1)
    ratings, level, count = ratings[count >= ENOUGH], level[count >= ENOUGH], count[count >= ENOUGH]
    means = np.nanmean(ratings, axis=1)
    within = np.nanvar(ratings, axis=1).mean(axis=1) * count / (count - 1)
    below = 100 - np.nanmean(level, axis=1)
    at_top, widening = np.linalg.lstsq(np.stack([np.ones(len(below)), below], axis=1), np.sqrt(within), rcond=None)[0]
    between = means.var() - (within / count).mean()
    return Usual(
        mean=float(means.mean()),
        varies=float(np.sqrt(max(between, 1.0))),
        spread=float(np.sqrt(within.mean())),
        at_top=float(at_top),
        widening=max(0.0, float(widening)),
    )


def _habit(happened: Numbers, asked: Numbers) -> Habit:
    """A beta distribution with the mean and the variance between relationships that were observed."""
    share = happened[asked >= ENOUGH] / asked[asked >= ENOUGH]
    mean = min(max(float(share.mean()), 0.01), 0.9)
    chance = (mean * (1 - mean) / asked[asked >= ENOUGH]).mean()
    between = max(float(share.var() - chance), 1e-4)
    weight = min(max(mean * (1 - mean) / between - 1, 2.0), 50.0)
    return Habit(mean * weight, (1 - mean) * weight)
