"""What could be found at best: scores that use what no real method can know.

Each oracle gives one score per appointment, the log likelihood ratio of a rupture that began lately against none. It
uses only what was observed until then. How far a method stays behind is what its own ignorance costs; how far an oracle
stays behind certainty is what ratings cannot show.
"""

import numpy as np

from evaluation.simulation.courses import severity_at
from evaluation.simulation.likelihood import Likelihood, MoodGrid
from evaluation.simulation.settings import WorldSettings
from evaluation.simulation.truth import ENDED, EXCUSED, FloatArray, Relationships

ORACLE = "oracle that knows everything"
ORACLE_WITH_BEHAVIOUR = "oracle, with attendance and the clinician too"
ORACLE_OF_CLIENT = "oracle that knows the client"
ORACLE_OF_CLIENT_WITH_BEHAVIOUR = "oracle of the client, with attendance and the clinician too"
ORACLE_OF_PERSON = "oracle that knows the person"
PERSON_SHIFTS_SPREADS = (1.0, 2.0, 3.0, 4.0)  # depths of a rupture that the oracle of the person considers
PERSON_START_PROBABILITY, PERSON_CONTINUATION_PROBABILITY = 0.03, 0.6  # the best of those tried, per appointment
MIN_TOTAL_SPREAD_POINTS = 0.5
ONSET_WEIGHTS = (0.2, 0.5, 1.0)  # of an onset now, one and two appointments before: the best of those tried
ROWS_AT_ONCE = 500  # bounds the memory
LOWEST_SCORE = -50.0


def oracle_of_person(relationships: Relationships) -> FloatArray:
    """Knows each relationship's true mean and spread of the total: a Bayes filter over the standardised distances."""
    course = relationships.truth.course
    spread = np.maximum(course.total_spread, MIN_TOTAL_SPREAD_POINTS)
    distance = (relationships.observations.total - course.expected_total) / spread
    shifts = np.array(PERSON_SHIFTS_SPREADS)
    stable, ruptured = np.ones(len(distance)), np.zeros((len(distance), len(shifts)))
    scores = np.full(distance.shape, np.nan)
    for t in range(distance.shape[1]):
        is_given = ~np.isnan(distance[:, t])
        now = np.where(is_given, distance[:, t], 0)[:, None]
        ratio = np.exp(np.clip(_log_density(now + shifts) - _log_density(now), -30, 30))
        began = PERSON_START_PROBABILITY / len(shifts) * stable[:, None]
        ruptured = (began + PERSON_CONTINUATION_PROBABILITY * ruptured) * np.where(is_given[:, None], ratio, 1)
        ended = (1 - PERSON_CONTINUATION_PROBABILITY) * (1 - stable)
        stable = (1 - PERSON_START_PROBABILITY) * stable + ended
        total = stable + ruptured.sum(axis=1)
        stable, ruptured = stable / total, ruptured / total[:, None]
        scores[is_given, t] = (np.log(ruptured.sum(axis=1)) - np.log(stable))[is_given]
    return scores


def _log_density(distance: FloatArray) -> FloatArray:
    return np.asarray(-(np.clip(distance, -8, 8) ** 2) / 2)


def oracle_of_everything(
    relationships: Relationships, world: WorldSettings, with_behaviour: bool = False
) -> FloatArray:
    """Knows everything but whether a rupture begins and when.

    It knows the client's level, trend, elements, noise and style of answering, and the rupture that this relationship
    has or would have: its kind, depth, elements and effects. It uses the client's form, and `with_behaviour` also the
    clinician's rating, missing forms and absence. It does not know when a trial begins its ruptures.
    """
    grid = MoodGrid.of(world)
    return np.concatenate(
        [
            _scores(relationships.select(slice(first, first + ROWS_AT_ONCE)), world, grid, with_behaviour)
            for first in range(0, len(relationships), ROWS_AT_ONCE)
        ]
    )


def _scores(relationships: Relationships, world: WorldSettings, grid: MoodGrid, with_behaviour: bool) -> FloatArray:
    observations, truth = relationships.observations, relationships.truth
    likelihood = Likelihood.of(world, relationships, grid.with_bad_days, with_behaviour)
    count, appointments = observations.total.shape
    none, nothing = np.full(count, -1), np.zeros(count)
    # of each onset that is considered: the moods after the latest appointment, and the log likelihood ratio so far
    onsets: dict[int, tuple[FloatArray, FloatArray]] = {}
    moods = np.tile(grid.initial, (count, 1))
    scores = np.full((count, appointments), LOWEST_SCORE)
    for t in range(appointments):
        before = moods @ grid.transition if t else moods
        moods, evidence = _update(before, grid, likelihood, t, none, nothing)
        if t:
            onsets[t] = (before, nothing)
        onsets.pop(t - len(ONSET_WEIGHTS), None)
        for onset, (mood, ratio) in onsets.items():
            number = np.minimum((truth.ruptures.onset < onset).sum(axis=1), truth.ruptures.onset.shape[1] - 1)
            severity = severity_at(truth.ruptures, np.full((count, 1), t - onset), number)[:, 0]
            present = np.where(severity > 0, number, -1)
            prior = mood if onset == t else mood @ grid.transition
            mood, evidence_in_rupture = _update(prior, grid, likelihood, t, present, severity)
            onsets[onset] = (mood, ratio + evidence_in_rupture - evidence)
        if onsets:
            weighted = [np.log(ONSET_WEIGHTS[t - onset]) + ratio for onset, (_, ratio) in onsets.items()]
            scores[:, t] = np.maximum(np.logaddexp.reduce(weighted), LOWEST_SCORE)
    is_new = ~np.isin(observations.appointment, (EXCUSED, ENDED)) if with_behaviour else observations.answered
    return np.where(is_new, scores, np.nan)


def _update(
    prior: FloatArray, grid: MoodGrid, likelihood: Likelihood, t: int, number: np.ndarray, severity: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """The moods after appointment `t`, and the logarithm of how likely its observations were."""
    joint = prior * likelihood.by_mood(grid, t, number, severity)
    evidence = joint.sum(axis=1)
    return joint / evidence[:, None], np.log(evidence)
