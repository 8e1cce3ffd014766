"""What alerts mean in a clinic: how many are right at a base rate, how many a clinician gets, and what they reach."""

from dataclasses import dataclass

import numpy as np

from evaluation.attune import NOT_OPEN, Folded
from evaluation.measures import Estimate, happens_in_window, ratio
from evaluation.reliability import ruptured_weight
from evaluation.simulation.settings import KINDS
from evaluation.simulation.truth import ENDED, BoolArray, FloatArray, IntArray, Relationships
from evaluation.trial import DETECTION_LIMIT_SESSIONS, Posteriors, WorldTrial

RIGHT_WITHIN_APPOINTMENTS = 2  # an alert is right if there is a rupture, or was one so many appointments before
DEEP_SPREADS = 3.0
RATING_KINDS = tuple(KINDS.index(kind) for kind in ("v", "step", "slide", "elements"))
"""The ruptures that lower the client's ratings."""


@dataclass(frozen=True, slots=True)
class Alerts:
    """Where alerts begin or rise, in the stable and in the ruptured relationships of a world."""

    stable: BoolArray
    ruptured: BoolArray

    def first(self, count: int) -> "Alerts":
        """Those of the first relationships of each."""
        return Alerts(self.stable[:count], self.ruptured[:count])


def alerts_of(trial: WorldTrial, asking: str, severity: int) -> Alerts:
    """The alerts that reach this severity."""
    messages = trial.messages[asking]
    return Alerts(messages.stable.reached >= severity, messages.ruptured.reached >= severity)


def urgent_alerts_at(trial: WorldTrial, asking: str, threshold: float) -> Alerts:
    """The urgent alerts if they began at this probability: once in each episode, by what is said after appointments."""
    messages = trial.messages[asking]
    return Alerts(first_in_episode(messages.stable, threshold), first_in_episode(messages.ruptured, threshold))


def first_in_episode(folded: Folded, threshold: float) -> BoolArray:
    """The appointment in each episode with which the probability first reaches the threshold."""
    reached_in = np.full(len(folded.probability), NOT_OPEN)
    first = np.zeros(folded.probability.shape, bool)
    for t in range(folded.probability.shape[1]):
        is_reached = (folded.open_since[:, t] != NOT_OPEN) & (folded.probability[:, t] >= threshold)
        first[:, t] = is_reached & (folded.open_since[:, t] != reached_in)
        reached_in = np.where(first[:, t], folded.open_since[:, t], reached_in)
    return first


def oracle_alerts_at(posteriors: Posteriors, threshold: float) -> Alerts:
    """The alerts of an oracle that begin at this probability."""
    return Alerts(first_above(posteriors.stable, threshold), first_above(posteriors.ruptured, threshold))


def first_above(probability: FloatArray, threshold: float) -> BoolArray:
    """The appointments with which a probability reaches the threshold; again only after it fell to half of it."""
    first, is_open = np.zeros(probability.shape, bool), np.zeros(len(probability), bool)
    for t in range(probability.shape[1]):
        is_open &= probability[:, t] > threshold / 2
        first[:, t] = ~is_open & (probability[:, t] >= threshold)
        is_open |= first[:, t]
    return first


def is_right(relationships: Relationships) -> BoolArray:
    """The appointments with which an alert is right."""
    in_rupture = relationships.truth.in_rupture
    right = in_rupture.copy()
    for lag in range(1, RIGHT_WITHIN_APPOINTMENTS + 1):
        right[:, lag:] |= in_rupture[:, :-lag]
    return right


def precision(trial: WorldTrial, alerts: Alerts, base_rate: float) -> Estimate:
    """The share of alerts that are right, where `base_rate` of relationships have a rupture."""
    weight = ruptured_weight(len(alerts.stable), len(alerts.ruptured), base_rate)
    stable, ruptured = (
        resamples.first(len(of))
        for resamples, of in ((trial.resamples.stable, alerts.stable), (trial.resamples.ruptured, alerts.ruptured))
    )
    right = ruptured.sum((alerts.ruptured & is_right(trial.samples.ruptured)[: len(alerts.ruptured)]).sum(axis=1))
    every = ruptured.sum(alerts.ruptured.sum(axis=1))
    return ratio(weight * right, weight * every + stable.sum(alerts.stable.sum(axis=1)))


def alerts_per_appointment(trial: WorldTrial, alerts: Alerts, base_rate: float) -> Estimate:
    weight = ruptured_weight(len(alerts.stable), len(alerts.ruptured), base_rate)
    stable, ruptured = trial.resamples.stable, trial.resamples.ruptured
    every = stable.sum(alerts.stable.sum(axis=1)) + weight * ruptured.sum(alerts.ruptured.sum(axis=1))
    appointments = stable.sum(_appointments(trial.samples.stable))
    return ratio(every, appointments + weight * ruptured.sum(_appointments(trial.samples.ruptured)))


def _appointments(relationships: Relationships) -> IntArray:
    return np.asarray((relationships.observations.appointment != ENDED).sum(axis=1))


def share_of_deep_reached(trial: WorldTrial, alerts: Alerts) -> Estimate:
    """The share of deep ruptures that lower ratings with an alert within two sessions."""
    count = len(alerts.ruptured)
    sample = trial.samples.ruptured.select(slice(0, count))
    members = np.isin(sample.truth.kind, RATING_KINDS) & (sample.truth.depth >= DEEP_SPREADS)
    reached = happens_in_window(alerts.ruptured, sample, DETECTION_LIMIT_SESSIONS)
    return trial.resamples.ruptured.first(count).share(reached, members)
