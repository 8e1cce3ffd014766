"""What a method's figures are: from one statistic per session to detections at a matched budget.

A method says one number per session, the higher the more alarming; NaN where it says nothing. An alarm begins where
the number reaches the threshold and did not the last time: one that stands since before a rupture tells nothing new.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from evaluation.prior import Prior
from evaluation.relationships import BoolArray, FloatArray, Relationships

Method: TypeAlias = Callable[[Relationships, Prior], FloatArray]


def carry_forward(scores: FloatArray) -> FloatArray:
    """What was said last, at every session; minus infinity before anything was."""
    carried = scores.copy()
    carried[:, 0] = np.where(np.isnan(scores[:, 0]), -np.inf, scores[:, 0])
    for t in range(1, scores.shape[1]):
        carried[:, t] = np.where(np.isnan(scores[:, t]), carried[:, t - 1], scores[:, t])
    return carried


def alarm_onsets(scores: FloatArray, threshold: float) -> BoolArray:
    """Where an alarm begins."""
    is_alarmed = carry_forward(scores) >= threshold
    is_alarmed[:, 1:] &= ~is_alarmed[:, :-1].copy()
    return np.asarray(is_alarmed & ~np.isnan(scores))


def peak_scores(scores: FloatArray) -> FloatArray:
    """The highest that was said of each relationship."""
    return carry_forward(scores).max(axis=1)


def threshold_for_budget(peak_scores_of_stable: FloatArray, budget: float) -> float:
    """The lowest threshold at which no more than `budget` of stable relationships are ever alarmed."""
    descending = np.sort(peak_scores_of_stable)[::-1]
    return float(np.nextafter(descending[int(budget * len(descending))], np.inf))


def threshold_for_onset_rate(scores: FloatArray, max_onsets_per_session: float) -> float:
    """The lowest threshold from which on false alarms begin in no more than `per_session` of stable sessions."""
    given_scores = scores[~np.isnan(scores)]
    for candidate in np.quantile(given_scores, np.linspace(0.9, 1, 401)):
        if alarm_onsets(scores, candidate).mean() <= max_onsets_per_session:
            return float(candidate)
    return float(np.nextafter(given_scores.max(), np.inf))


def window_scores(scores: FloatArray, relationships: Relationships, max_delay_sessions: int) -> FloatArray:
    """What was said from the session before the onset on, up to `within` sessions after it; -inf where nothing new."""
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
    """Whether an alarm began in the window; the first column is what was said before."""
    return np.asarray(alarm_onsets(windowed, threshold)[:, 1:].any(axis=1))
