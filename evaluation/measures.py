"""Measures of a method: from one score per session to detected ruptures at an equal budget of false alarms.

A method gives one score per session, the higher the more alarming; NaN where it gives none. An alarm begins where the
score reaches the threshold and the score before did not: an alarm that was on before a rupture has not detected it.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from evaluation.prior import Prior
from evaluation.relationships import BoolArray, FloatArray, Relationships

Method: TypeAlias = Callable[[Relationships, Prior], FloatArray]


def carry_forward(scores: FloatArray) -> FloatArray:
    """The latest score at every session; minus infinity before the first."""
    carried = scores.copy()
    carried[:, 0] = np.where(np.isnan(scores[:, 0]), -np.inf, scores[:, 0])
    for t in range(1, scores.shape[1]):
        carried[:, t] = np.where(np.isnan(scores[:, t]), carried[:, t - 1], scores[:, t])
    return carried


def alarm_onsets(scores: FloatArray, threshold: float) -> BoolArray:
    """The sessions in which an alarm begins."""
    is_alarmed = carry_forward(scores) >= threshold
    is_alarmed[:, 1:] &= ~is_alarmed[:, :-1].copy()
    return np.asarray(is_alarmed & ~np.isnan(scores))


def peak_scores(scores: FloatArray) -> FloatArray:
    """The highest score of each relationship."""
    return carry_forward(scores).max(axis=1)


def threshold_for_budget(peak_scores_of_stable: FloatArray, budget: float) -> float:
    """The lowest threshold at which at most the share `budget` of stable relationships ever has an alarm."""
    descending = np.sort(peak_scores_of_stable)[::-1]
    return float(np.nextafter(descending[int(budget * len(descending))], np.inf))


def threshold_for_onset_rate(scores: FloatArray, max_onsets_per_session: float) -> float:
    """The lowest threshold at which false alarms begin in at most `max_onsets_per_session` of stable sessions."""
    given_scores = scores[~np.isnan(scores)]
    for candidate in np.quantile(given_scores, np.linspace(0.9, 1, 401)):
        if alarm_onsets(scores, candidate).mean() <= max_onsets_per_session:
            return float(candidate)
    return float(np.nextafter(given_scores.max(), np.inf))


def window_scores(scores: FloatArray, relationships: Relationships, max_delay_sessions: int) -> FloatArray:
    """The scores from the session before the onset to `max_delay_sessions` after it; NaN where there is no new one.

    The first column is the latest score before the onset, minus infinity if there is none.
    """
    carried = np.concatenate([np.full((len(scores), 1), -np.inf), carry_forward(scores)], axis=1)
    is_new = np.concatenate([np.zeros((len(scores), 1), bool), ~np.isnan(scores)], axis=1)
    rows = np.arange(len(scores))[:, None]
    sessions = relationships.truth.onset_session[:, None] + np.arange(max_delay_sessions + 2)
    exists = sessions <= np.minimum(relationships.truth.appointment_count, scores.shape[1])[:, None]
    sessions = np.minimum(sessions, scores.shape[1])
    windowed = carried[rows, sessions]
    windowed[:, 1:] = np.where((exists & is_new[rows, sessions])[:, 1:], windowed[:, 1:], np.nan)
    return windowed


def is_detected(windowed: FloatArray, threshold: float) -> BoolArray:
    """Whether an alarm began in the window, given scores as from `window_scores`."""
    return np.asarray(alarm_onsets(windowed, threshold)[:, 1:].any(axis=1))
