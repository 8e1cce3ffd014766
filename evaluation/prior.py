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
    observations = history.seen
    held, absent, answered = observations.appointment == HELD, observations.appointment == AWAY, observations.answered
    return Prior(
        _usual(observations.total[..., None], observations.total),
        _usual(observations.clinician[..., None], observations.clinician),
        _usual(beside_the_others(observations.elements), observations.total),
        _habit((held & ~answered).sum(axis=1), held.sum(axis=1)),
        _habit(absent.sum(axis=1), (held | absent).sum(axis=1)),
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
    variances_within = np.nanvar(ratings, axis=1).mean(axis=1) * count / (count - 1)
    distances_from_top = 100 - np.nanmean(level, axis=1)
    at_top, widening = np.linalg.lstsq(
        np.stack([np.ones(len(distances_from_top)), distances_from_top], axis=1), np.sqrt(variances_within), rcond=None
    )[0]
    variance_between = means.var() - (variances_within / count).mean()
    return Usual(
        mean=float(means.mean()),
        varies=float(np.sqrt(max(variance_between, 1.0))),
        spread=float(np.sqrt(variances_within.mean())),
        at_top=float(at_top),
        widening=max(0.0, float(widening)),
    )


def _habit(happened: Numbers, opportunities: Numbers) -> Habit:
    """A beta distribution with the mean and the variance between relationships that were observed."""
    share = happened[opportunities >= ENOUGH] / opportunities[opportunities >= ENOUGH]
    mean = min(max(float(share.mean()), 0.01), 0.9)
    sampling_variance = (mean * (1 - mean) / opportunities[opportunities >= ENOUGH]).mean()
    variance_between = max(float(share.var() - sampling_variance), 1e-4)
    weight = min(max(mean * (1 - mean) / variance_between - 1, 2.0), 50.0)
    return Habit(mean * weight, (1 - mean) * weight)
