"""What a method's figures are: from one statistic per session to detections at a matched budget.

A method says one number per session, the higher the more alarming; NaN where it says nothing. An alarm begins where
the number reaches the threshold and did not the last time: one that stands since before a rupture tells nothing new.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from evaluation.prior import Prior
from evaluation.relationships import Flags, Numbers, Relationships

Method: TypeAlias = Callable[[Relationships, Prior], Numbers]


def carried(said: Numbers) -> Numbers:
    """What was said last, at every session; minus infinity before anything was."""
    last = said.copy()
    last[:, 0] = np.where(np.isnan(said[:, 0]), -np.inf, said[:, 0])
    for t in range(1, said.shape[1]):
        last[:, t] = np.where(np.isnan(said[:, t]), last[:, t - 1], said[:, t])
    return last


def begins(said: Numbers, threshold: float) -> Flags:
    """Where an alarm begins."""
    is_alarmed = carried(said) >= threshold
    is_alarmed[:, 1:] &= ~is_alarmed[:, :-1].copy()
    return np.asarray(is_alarmed & ~np.isnan(said))


def peak(said: Numbers) -> Numbers:
    """The highest that was said of each relationship."""
    return carried(said).max(axis=1)


def threshold(peaks: Numbers, budget: float) -> float:
    """The lowest threshold at which no more than `budget` of stable relationships are ever alarmed."""
    descending = np.sort(peaks)[::-1]
    return float(np.nextafter(descending[int(budget * len(descending))], np.inf))


def threshold_by_onsets(said: Numbers, max_onsets_per_session: float) -> float:
    """The lowest threshold from which on false alarms begin in no more than `per_session` of stable sessions."""
    given_scores = said[~np.isnan(said)]
    for candidate in np.quantile(given_scores, np.linspace(0.9, 1, 401)):
        if begins(said, candidate).mean() <= max_onsets_per_session:
            return float(candidate)
    return float(np.nextafter(given_scores.max(), np.inf))


def window(said: Numbers, history: Relationships, within: int) -> Numbers:
    """What was said from the session before the onset on, up to `within` sessions after it; -inf where nothing new."""
    last = np.concatenate([np.full((len(said), 1), -np.inf), carried(said)], axis=1)
    is_new = np.concatenate([np.zeros((len(said), 1), bool), ~np.isnan(said)], axis=1)
    rows = np.arange(len(said))[:, None]
    sessions = history.truth.onset[:, None] + np.arange(within + 2)
    exists = sessions <= np.minimum(history.truth.last, said.shape[1])[:, None]
    sessions = np.minimum(sessions, said.shape[1])
    windowed = last[rows, sessions]
    windowed[:, 1:] = np.where((exists & is_new[rows, sessions])[:, 1:], windowed[:, 1:], np.nan)
    return windowed


def detected(windowed: Numbers, level: float) -> Flags:
    """Whether an alarm began in the window; the first column is what was said before."""
    return np.asarray(begins(windowed, level)[:, 1:].any(axis=1))
