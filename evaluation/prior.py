"""The prior: what a clinic's history leads to expect of a new relationship.

Fitted by moments to histories in which the ruptures are not marked, as in a clinic's recalibration.
"""

from dataclasses import dataclass

import numpy as np

from evaluation.relationships import ABSENT, HELD, FloatArray, Relationships

MIN_OBSERVATIONS = 4  # ratings or appointments that a relationship needs to be used in the fit


@dataclass(frozen=True, slots=True)
class RatingPrior:
    """One rater's ratings in this clinic, in points of 0 to 100."""

    mean: float
    varies: float
    """Standard deviation of the level between relationships."""
    spread: float
    """Standard deviation within a relationship, on average."""
    at_top: float
    """The spread at a level of 100."""
    widening: float
    """How much the spread grows per point below 100."""


@dataclass(frozen=True, slots=True)
class RatePrior:
    """How often something happens, as the pseudo-counts of a beta distribution."""

    happened: float
    not_happened: float


@dataclass(frozen=True, slots=True)
class Prior:
    client: RatingPrior
    clinician: RatingPrior
    element: RatingPrior
    """Of an element's distance from the mean of the other elements."""
    silence: RatePrior
    absence: RatePrior


def fit_prior(relationships: Relationships) -> Prior:
    """Fit the prior of a clinic with this history."""
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
    """How far each element lies above the mean of the other elements."""
    count = elements.shape[-1]
    return (elements - elements.mean(axis=-1, keepdims=True)) * count / (count - 1)


def _fit_rating_prior(ratings: FloatArray, level: FloatArray) -> RatingPrior:
    """Fit one rater's prior; the last axis holds one total, or eight elements that share a spread."""
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
    """Fit a beta distribution to the observed mean and variance between relationships."""
    share = occurrences[opportunities >= MIN_OBSERVATIONS] / opportunities[opportunities >= MIN_OBSERVATIONS]
    mean = min(max(float(share.mean()), 0.01), 0.9)
    sampling_variance = (mean * (1 - mean) / opportunities[opportunities >= MIN_OBSERVATIONS]).mean()
    variance_between = max(float(share.var() - sampling_variance), 1e-4)
    weight = min(max(mean * (1 - mean) / variance_between - 1, 2.0), 50.0)
    return RatePrior(mean * weight, (1 - mean) * weight)
