"""The probability of a rupture at best: exact likelihood ratios, given all that was observed until then.

A relationship has one rupture or none. The onset is drawn as in a trial. The rupture is the own one for an oracle that
knows everything, and one of many that are drawn in the same world for an oracle that knows only the client. Both know
all of the client: level, trend, elements, noise, style of answering and candour. Neither knows that in a trial all who
only look alarming are stable.
"""

from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from evaluation.oracles import LOWEST_SCORE, ONSET_WEIGHTS
from evaluation.simulation.courses import STEP, dropout_hazard, duration, sample_ruptures, severity_at
from evaluation.simulation.generator import sample_trial_counts
from evaluation.simulation.likelihood import Likelihood, MoodGrid
from evaluation.simulation.settings import WorldSettings
from evaluation.simulation.truth import BoolArray, Clients, FloatArray, IntArray, Relationships, Ruptures, combine_parts

RUPTURES_OF_KIND = {"v": 8, "step": 6, "slide": 6, "elements": 16, "withdrawal": 3, "divergence": 3}
"""How many the oracle of the client considers: more where they differ more. Fewer would make it, and so a bar that is
made from it, weaker than what can be known; four times as many add about .03 to its Brier skill."""
CONSIDERED = sum(RUPTURES_OF_KIND.values())
COUNTS_DRAWN = 20_000  # of treatments, to know how likely each onset is
LARGEST_LOG_RATIO = 600.0  # what is larger is certain


@dataclass(frozen=True, slots=True)
class Evidence:
    """The log likelihood ratio of each rupture that is considered, with each onset, against none.

    The axes: relationships, ruptures, onsets, appointments. An onset is an appointment.
    """

    log_ratio: FloatArray
    is_present: BoolArray
    """Whether the rupture with that onset is present at the appointment."""
    shares: FloatArray
    """How likely each rupture is, if there is one."""

    @classmethod
    def weigh(
        cls,
        relationships: Relationships,
        world: WorldSettings,
        ruptures: Ruptures,
        shares: FloatArray,
        with_behaviour: bool,
    ) -> "Evidence":
        """Of the client's forms; `with_behaviour` also of the clinician's rating, absence, missing forms and the end.

        The ruptures are those that are considered, with whatever onset.
        """
        appointments = relationships.observations.total.shape[1]
        since = np.arange(appointments) - np.arange(appointments)[:, None]
        is_present = (since >= 0) & (since < duration(ruptures)[..., None, None])
        log_ratio = _log_ratios(relationships, world, ruptures, with_behaviour)
        if with_behaviour:
            log_ratio = log_ratio + _log_survival(world, ruptures, is_present)
        return cls(log_ratio, is_present, shares)

    def with_answers(self, of_client: FloatArray, of_clinician: FloatArray, is_seen: BoolArray) -> "Evidence":
        """The same with log likelihood ratios of answers, at each appointment; clinicians answer to what they see."""
        of_answers = of_client[:, None] + is_seen[..., None] * of_clinician[:, None]
        added = np.cumsum(self.is_present * of_answers[:, :, None], axis=-1)
        return replace(self, log_ratio=self.log_ratio + added)

    def posterior(self, onset_shares: FloatArray, base_rate: float) -> FloatArray:
        """The probability that there is a rupture then, where `base_rate` of relationships have one."""
        ratio = np.exp(np.minimum(self.log_ratio, LARGEST_LOG_RATIO)) * onset_shares
        any_onset, present = (self.shares @ part.sum(axis=2) for part in (ratio, ratio * self.is_present))
        return np.asarray(base_rate * present / (1 - base_rate + base_rate * any_onset))

    def score(self) -> FloatArray:
        """The log likelihood ratio of a rupture that began lately."""
        scores = np.full((len(self.log_ratio), self.log_ratio.shape[-1]), LOWEST_SCORE)
        for t in range(1, scores.shape[1]):
            ages = np.arange(min(t, len(ONSET_WEIGHTS)))
            weighted = np.log(np.array(ONSET_WEIGHTS)[ages]) + self.log_ratio[:, :, t - ages, t]
            weighted = weighted + np.log(self.shares)[:, None]
            scores[:, t] = np.maximum(np.logaddexp.reduce(weighted, axis=(1, 2)), LOWEST_SCORE)
        return scores


def own_rupture(relationships: Relationships) -> tuple[Ruptures, FloatArray]:
    """The rupture that each relationship has or would have, which is then the only one to consider."""
    return relationships.truth.ruptures, np.ones(1)


def sample_considered(
    world: WorldSettings, clients: Clients, appointments: int, rng: np.random.Generator
) -> tuple[Ruptures, FloatArray]:
    """Ruptures as those of the world, in strata of kind and depth, and how likely each is."""
    settings, parts, shares = world.ruptures, list[Ruptures](), list[float]()
    for kind, share in settings.kinds.items():
        depths = np.linspace(*settings.depth, RUPTURES_OF_KIND[kind] + 1).tolist()
        for bounds in pairwise(depths) if share else ():
            stratum = settings.model_copy(
                update={"kinds": dict.fromkeys(settings.kinds, 0.0) | {kind: 1.0}, "depth": bounds}
            )
            in_stratum = world.model_copy(update={"ruptures": stratum})
            parts.append(sample_ruptures(in_stratum, clients, 1, appointments, rng))
            shares.append(share / RUPTURES_OF_KIND[kind])
    return combine_parts(parts, partial(np.concatenate, axis=1)), np.array(shares) / sum(shares)


def onset_shares(world: WorldSettings, appointments: int) -> FloatArray:
    """How likely each onset is where there is a rupture, and a treatment still going on against one without a rupture.

    Onsets by appointments.
    """
    planned = sample_trial_counts(world, COUNTS_DRAWN, appointments, np.random.default_rng(0))
    first, last = world.ruptures.onset_session
    session, end = np.arange(appointments), np.minimum(last, planned)
    is_possible = (session[:, None] >= first - 1) & (session[:, None] < end)
    goes_on = session[:, None] < planned
    return np.asarray((is_possible / (end - (first - 1))) @ goes_on.T / goes_on.sum(axis=1))


def _log_survival(world: WorldSettings, ruptures: Ruptures, is_present: BoolArray) -> FloatArray:
    """That the client did not drop out before an appointment; in a trial only those with a rupture do."""
    appointments = is_present.shape[-1]
    hazard = dropout_hazard(world, appointments) * np.where(is_present, ruptures.dropout_factor[..., None, None], 1.0)
    stays = np.log1p(-hazard) * np.triu(np.ones((appointments, appointments)))
    return np.cumsum(stays, axis=-1) - stays


def _log_ratios(
    relationships: Relationships, world: WorldSettings, ruptures: Ruptures, with_behaviour: bool
) -> FloatArray:
    grid, (count, appointments) = MoodGrid.of(world), relationships.observations.total.shape
    lasts, steps = duration(ruptures), _Steps.of(ruptures)
    stable = Likelihood.of(world, relationships, grid.with_bad_days, with_behaviour)
    ruptured = Likelihood.of(world, steps.relationships(relationships), grid.with_bad_days, with_behaviour)
    none, row = np.full(count, -1), np.arange(count)[:, None, None]
    moods = np.tile(grid.initial, (count, 1))
    # of each rupture and onset: the moods after the latest appointment
    in_rupture = np.zeros((*lasts.shape, appointments, grid.moods.size))
    log_ratio = np.zeros((*lasts.shape, appointments, appointments))
    for t in range(appointments):
        before = moods @ grid.transition if t else moods
        of_none = stable.by_mood(grid, t, none, np.zeros(count))
        moods, evidence = _update(before, of_none)
        if not t:
            continue
        likelihood = np.concatenate([of_none, ruptured.by_mood(grid, t, np.zeros_like(steps.rupture), steps.severity)])
        since = t - np.arange(1, t + 1)
        index = np.where(since < lasts[..., None], count + steps.index(since), row)
        prior = in_rupture[:, :, 1 : t + 1]
        prior[:, :, :-1] = prior[:, :, :-1] @ grid.transition
        prior[:, :, -1] = before[:, None]
        in_rupture[:, :, 1 : t + 1], of_rupture = _update(prior, likelihood[index])
        log_ratio[:, :, 1 : t + 1, t] = log_ratio[:, :, 1 : t + 1, t - 1] + of_rupture - evidence[:, None, None]
    return log_ratio


def _update(prior: FloatArray, likelihood: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The moods after an appointment, and the logarithm of how likely its observations were."""
    joint = prior * likelihood
    evidence = joint.sum(axis=-1)
    return joint / evidence[..., None], np.log(evidence)


@dataclass(frozen=True, slots=True)
class _Steps:
    """The severities that ruptures pass through, one a row: each is weighed once, whatever the onset."""

    ruptures: Ruptures
    rupture: IntArray
    """Of which rupture, counted through."""
    first: IntArray
    """The row of the severity at the onset: relationships by ruptures."""
    last: IntArray
    """From when on the severity stays as it is, until the end."""
    severity: FloatArray

    @classmethod
    def of(cls, ruptures: Ruptures) -> "_Steps":
        how_many = np.where(ruptures.shape == STEP, 1, ruptures.fall_sessions)
        rupture = np.repeat(np.arange(how_many.size), how_many.ravel())
        first = (np.cumsum(how_many) - how_many.ravel()).reshape(how_many.shape)
        alone = combine_parts([ruptures], lambda arrays: arrays[0].reshape(-1, 1, *arrays[0].shape[2:])[rupture])
        since = np.arange(len(rupture)) - first.ravel()[rupture]
        return cls(alone, rupture, first, how_many - 1, severity_at(alone, since[:, None, None])[:, 0, 0])

    def relationships(self, relationships: Relationships) -> Relationships:
        """The relationship of each row, with its rupture alone."""
        selected = relationships.select(self.rupture // self.first.shape[1])
        return replace(selected, truth=replace(selected.truth, ruptures=self.ruptures))

    def index(self, since: IntArray) -> IntArray:
        """The row for each rupture so many appointments after its onset."""
        return np.asarray(self.first[..., None] + np.minimum(since, self.last[..., None]))
