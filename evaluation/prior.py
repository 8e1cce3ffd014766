"""What a clinic's history leads to expect of a relationship nothing is known of yet.

Fitted by moments from histories in which nobody has marked the ruptures, as a clinic's recalibration would.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.relationships import ABSENT, HELD, FloatArray, Relationships

MIN_OBSERVATIONS = 4  # ratings or appointments from which on a relationship says something about the others


@dataclass(frozen=True, slots=True)
class RatingPrior:
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
class RatePrior:
    """How often something happens: what a relationship is expected to have seen before it began."""

    happened: float
    not_happened: float


@dataclass(frozen=True, slots=True)
class Prior:
    client: RatingPrior
    clinician: RatingPrior
    element: RatingPrior
    """How an element lies beside the others."""
    silence: RatePrior
    absence: RatePrior


def fit_prior(relationships: Relationships) -> Prior:
    """The prior of a clinic with this history."""
    observations = relationships.observations
    held, absent, answered = observations.appointment == HELD, observations.appointment == ABSENT, observations.answered
    return Prior(
        _fit_rating_prior(observations.total[..., None], observations.total),
        _fit_rating_prior(observations.clinician_total[..., None], observations.clinician_total),
        _fit_rating_prior(element_gap(observations.elements), observations.total),
        _fit_rate_prior((held & ~answered).sum(axis=1), held.sum(axis=1)),
        _fit_rate_prior(absent.sum(axis=1), (held | absent).sum(axis=1)),
    )


def element_gap(elements: FloatArray) -> FloatArray:
    """How far each element lies above the mean of the others."""
    count = elements.shape[-1]
    return (elements - elements.mean(axis=-1, keepdims=True)) * count / (count - 1)


def _fit_rating_prior(ratings: FloatArray, level: FloatArray) -> RatingPrior:
    """The last axis holds what is rated at once: one total, or eight elements that share a spread."""
    count = (~np.isnan(level)).sum(axis=1)
    ratings, level, count = (
        ratings[count >= MIN_OBSERVATIONS],
        level[count >= MIN_OBSERVATIONS],
        count[count >= MIN_OBSERVATIONS],
    )
    means = np.nanmean(ratings, axis=1)
    variances_within = np.nanvar(ratings, axis=1).mean(axis=1) * count / (count - 1)
    distances_from_top = 100 - np.nanmean(level, axis=1)
    at_top, widening = np.linalg.lstsq(
        np.stack([np.ones(len(distances_from_top)), distances_from_top], axis=1), np.sqrt(variances_within), rcond=None
    )[0]
    variance_between = means.var() - (variances_within / count).mean()
    return RatingPrior(
        mean=float(means.mean()),
        varies=float(np.sqrt(max(variance_between, 1.0))),
        spread=float(np.sqrt(variances_within.mean())),
        at_top=float(at_top),
        widening=max(0.0, float(widening)),
    )


def _fit_rate_prior(occurrences: FloatArray, opportunities: FloatArray) -> RatePrior:
    """A beta distribution with the mean and the variance between relationships that were observed."""
    share = occurrences[opportunities >= MIN_OBSERVATIONS] / opportunities[opportunities >= MIN_OBSERVATIONS]
    mean = min(max(float(share.mean()), 0.01), 0.9)
    sampling_variance = (mean * (1 - mean) / opportunities[opportunities >= MIN_OBSERVATIONS]).mean()
    variance_between = max(float(share.var() - sampling_variance), 1e-4)
    weight = min(max(mean * (1 - mean) / variance_between - 1, 2.0), 50.0)
    return RatePrior(mean * weight, (1 - mean) * weight)
