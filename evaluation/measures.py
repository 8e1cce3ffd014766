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
    on = carried(said) >= threshold
    on[:, 1:] &= ~on[:, :-1].copy()
    return np.asarray(on & ~np.isnan(said))


def peak(said: Numbers) -> Numbers:
    """The highest that was said of each relationship."""
    return carried(said).max(axis=1)


def threshold(peaks: Numbers, budget: float) -> float:
    """The lowest threshold at which no more than `budget` of stable relationships are ever alarmed."""
    ordered = np.sort(peaks)[::-1]
    return float(np.nextafter(ordered[int(budget * len(ordered))], np.inf))


def threshold_by_onsets(said: Numbers, per_session: float) -> float:
    """The lowest threshold from which on false alarms begin in no more than `per_session` of stable sessions."""
    known = said[~np.isnan(said)]
    for candidate in np.quantile(known, np.linspace(0.9, 1, 401)):
        if begins(said, candidate).mean() <= per_session:
            return float(candidate)
    return float(np.nextafter(known.max(), np.inf))


def window(said: Numbers, history: Relationships, within: int) -> Numbers:
    """What was said from the session before the onset on, up to `within` sessions after it; -inf where nothing new."""
    last = np.concatenate([np.full((len(said), 1), -np.inf), carried(said)], axis=1)
    fresh = np.concatenate([np.zeros((len(said), 1), bool), ~np.isnan(said)], axis=1)
    rows = np.arange(len(said))[:, None]
    places = history.truth.onset[:, None] + np.arange(within + 2)
    there = places <= np.minimum(history.truth.last, said.shape[1])[:, None]
    places = np.minimum(places, said.shape[1])
    shown = last[rows, places]
    shown[:, 1:] = np.where((there & fresh[rows, places])[:, 1:], shown[:, 1:], np.nan)
    return shown


def detected(windowed: Numbers, level: float) -> Flags:
    """Whether an alarm began in the window; the first column is what was said before."""
    return np.asarray(begins(windowed, level)[:, 1:].any(axis=1))
