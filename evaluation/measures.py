"""Measures of a method: from one score per appointment to detected ruptures at an equal budget of false alarms.

A method gives one score per appointment, the higher the more alarming; NaN where it gives none. An alarm begins where
the score reaches the threshold and the score before did not: an alarm that was on before a rupture has not detected it.

Every number has a bootstrap: an `Estimate` holds the value of the sample itself and, after it, the value of every
resample of its relationships. Differences and ratios of estimates from the same resamples are estimates again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from evaluation.simulation.truth import BoolArray, FloatArray, IntArray, Relationships

Method: TypeAlias = Callable[[Relationships], FloatArray]
Estimate: TypeAlias = FloatArray
"""The value of the sample, then that of each resample."""
INTERVAL = (0.025, 0.975)  # quantiles: it holds 95% of the resamples


@dataclass(frozen=True, slots=True)
class Resamples:
    """How often each relationship of a sample occurs in each resample; first the sample itself."""

    weights: FloatArray

    @classmethod
    def draw(cls, relationships: int, resamples: int, seed: int) -> "Resamples":
        rng = np.random.default_rng(seed)
        drawn = rng.multinomial(relationships, np.full(relationships, 1 / relationships), resamples)
        return cls(np.concatenate([np.ones((1, relationships)), drawn]))

    def first(self, count: int) -> "Resamples":
        """The same of the first relationships alone."""
        return Resamples(self.weights[:, :count])

    def sum(self, values: FloatArray | BoolArray | IntArray) -> Estimate:
        """The sum of `values` over the relationships; with two axes, the first is that of the resamples."""
        if values.ndim == 2:
            return np.asarray((self.weights * values).sum(axis=1))
        return np.asarray(self.weights @ values.astype(float))

    def share(self, values: FloatArray | BoolArray, members: BoolArray | None = None) -> Estimate:
        """The mean of `values` over the relationships that are `members`; NaN where there are none."""
        counted = np.ones(values.shape[-1], bool) if members is None else members
        return ratio(self.sum(values * counted), self.sum(counted))


def ratio(numerator: Estimate, denominator: Estimate) -> Estimate:
    """The quotient; NaN where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator != 0)


def interval(estimate: Estimate) -> tuple[float, float]:
    """What holds 95% of the resamples; NaN if the value is not defined."""
    resampled = estimate[1:][~np.isnan(estimate[1:])]
    if not len(resampled):
        return float("nan"), float("nan")
    low, high = np.quantile(resampled, INTERVAL)
    return float(low), float(high)


def carry_forward(scores: FloatArray) -> FloatArray:
    """The latest score at every appointment; minus infinity before the first."""
    carried = scores.copy()
    carried[:, 0] = np.where(np.isnan(scores[:, 0]), -np.inf, scores[:, 0])
    for t in range(1, scores.shape[1]):
        carried[:, t] = np.where(np.isnan(scores[:, t]), carried[:, t - 1], scores[:, t])
    return carried


def alarm_onsets(scores: FloatArray, threshold: float) -> BoolArray:
    """The appointments with which an alarm begins."""
    is_alarmed = carry_forward(scores) >= threshold
    is_alarmed[:, 1:] &= ~is_alarmed[:, :-1].copy()
    return np.asarray(is_alarmed & ~np.isnan(scores))


def peak_scores(scores: FloatArray) -> FloatArray:
    """The highest score of each relationship."""
    return np.asarray(carry_forward(scores).max(axis=1))


def thresholds_for_budget(peaks_of_stable: FloatArray, resamples: Resamples, budget: float) -> Estimate:
    """The lowest threshold at which at most the share `budget` of stable relationships ever has an alarm."""
    order = np.argsort(-peaks_of_stable, kind="stable")
    alarmed = np.cumsum(resamples.weights[:, order], axis=1)
    first_too_many = (alarmed > budget * alarmed[:, -1:]).argmax(axis=1)
    return np.nextafter(peaks_of_stable[order][first_too_many], np.inf)


def window_scores(scores: FloatArray, relationships: Relationships, max_delay_sessions: int) -> FloatArray:
    """The scores from the appointment before the onset to `max_delay_sessions` after it; NaN where there is no new one.

    The first column is the latest score before the onset, minus infinity if there is none.
    """
    carried = np.concatenate([np.full((len(scores), 1), -np.inf), carry_forward(scores)], axis=1)
    is_new = np.concatenate([np.zeros((len(scores), 1), bool), ~np.isnan(scores)], axis=1)
    sessions, exists = _window(relationships, max_delay_sessions, first=-1)
    windowed = np.take_along_axis(carried, sessions + 1, axis=1)
    is_given = exists & np.take_along_axis(is_new, sessions + 1, axis=1)
    windowed[:, 1:] = np.where(is_given[:, 1:], windowed[:, 1:], np.nan)
    return windowed


def is_detected(windowed: FloatArray, thresholds: Estimate) -> BoolArray:
    """Whether an alarm began in the window, given scores as from `window_scores`: thresholds by relationships."""
    carried, is_given, limits = carry_forward(windowed), ~np.isnan(windowed), thresholds[:, None]
    found = np.zeros((len(thresholds), len(windowed)), bool)
    for t in range(1, windowed.shape[1]):
        found |= is_given[:, t] & (carried[:, t] >= limits) & (carried[:, t - 1] < limits)
    return found


def happens_in_window(happens: BoolArray, relationships: Relationships, max_delay_sessions: int) -> BoolArray:
    """Whether something happens at the onset of the first rupture or at most `max_delay_sessions` after it."""
    sessions, exists = _window(relationships, max_delay_sessions, first=0)
    return np.asarray((np.take_along_axis(happens, sessions, axis=1) & exists).any(axis=1))


def _window(relationships: Relationships, max_delay_sessions: int, first: int) -> tuple[IntArray, BoolArray]:
    """The appointments from `first` to `max_delay_sessions` after the onset, and which of them there are."""
    truth = relationships.truth
    sessions = truth.onset_session[:, None] + np.arange(first, max_delay_sessions + 1)
    last = np.minimum(truth.appointment_count, truth.in_rupture.shape[1])[:, None] - 1
    return np.minimum(sessions, truth.in_rupture.shape[1] - 1), sessions <= last
