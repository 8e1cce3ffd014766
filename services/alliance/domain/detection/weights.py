"""The weights of signals: how much likelier each is in a rupture of some kind than in a calm relationship.

A weight is the logarithm of that ratio. Each function returns one weight per component (see `components`). Ratings are
compared in spreads from what was expected. Their weights are tempered: neighbouring sessions, and the signals of one
session, resemble each other more than independent ones would. The constants were fitted with those of `components`.
"""

from collections.abc import Collection, Mapping
from math import copysign, exp, log, log1p
from typing import Final

from services.alliance.domain.detection.baseline import Expectation
from services.alliance.domain.detection.components import (
    COUNT,
    DIVERGENCE,
    ELEMENTS,
    FIRST_ELEMENT,
    WHOLE,
    WITHDRAWAL,
)
from services.alliance.domain.policy.policy import RatePrior
from shared.events import Element, TalkedAbout, Tension

Weights = list[float]
NO_WEIGHTS: Final = (0.0,) * COUNT

WHOLE_DEPTH_SPREADS = 2.3  # depth of a rupture that a weight is made for (Gumz 2012: one to over four)
DIVERGENCE_DEPTH_SPREADS = 1.5  # by which the client's rating falls while the clinician's rises
ELEMENT_DEPTH_SPREADS = 2.2  # by which one element falls further than the others
CLINICIAN_DEPTH_SPREADS = 1.8  # by which the clinician's rating falls in a rupture that the clinician notices
CLINICIAN_RISE_SPREADS = 1.2  # by which it rises where the two rate apart
CLINICIAN_AWARENESS = 0.35  # of the ruptures are noticed by the clinician
RATING_TEMPER, ELEMENT_TEMPER, CLINICIAN_TEMPER = 0.85, 0.85, 0.6  # of the weight that independent ratings would have
MAX_WEIGHT = 5.0  # no rating as a whole weighs more, for or against; an element hardly more (`_soften`)
MISS_FACTOR = 2.0  # in a rupture, forms and sessions are missed this many times as often
MIN_USUAL_RATE, MAX_USUAL_RATE = 0.02, 0.9  # more extreme habits are not credible
MAX_RATE = 0.95  # in a rupture: above every usual rate, so that something missed never speaks against a rupture
WITHDRAWN_SILENCE_RATE, WITHDRAWN_ABSENCE_RATE = 0.75, 0.4  # of what a withdrawn client would otherwise have answered
TENSION_REPORT_RATE = 0.42  # of those that would otherwise report none
FALSE_TENSION_REPORT_RATE = 0.07  # of the answers in a calm relationship, before the own habit is known
TENSION_HABIT_ANSWERS = 10.0  # that this rate counts as much as
DENIAL_TEMPER = 0.45  # of the weight of a denied tension: who does not report one once is likely not to do so again
CUT_SHORT_WEIGHT, CUT_SHORT_WITHDRAWAL_WEIGHT = 0.4, 1.1  # an unusually short session: an assumption
TALKED_ABOUT_WEIGHTS: dict[TalkedAbout | None, float] = {"not": 0.5, "partly": 0.0, "yes": -0.5, None: 0.0}
"""A tension that was not talked about weighs more than one that was."""


def client_rating_weights(rating: float, expected: Expectation) -> Weights:
    """The weights of the client's rating as a whole."""
    weights = [0.0] * COUNT
    weights[WHOLE] = _limit(_drop_weight(rating, expected, WHOLE_DEPTH_SPREADS, RATING_TEMPER))
    weights[DIVERGENCE] = _limit(_drop_weight(rating, expected, DIVERGENCE_DEPTH_SPREADS, RATING_TEMPER))
    return weights


def element_weights(relative_ratings: Mapping[Element, float], expected: Mapping[Element, Expectation]) -> Weights:
    """The weights of the elements relative to each other; deeper drops weigh more."""
    weights = [0.0] * COUNT
    for index, element in enumerate(ELEMENTS, FIRST_ELEMENT):
        if element in relative_ratings and expected[element].is_known:
            weights[index] = _soften(
                _drop_weight(relative_ratings[element], expected[element], ELEMENT_DEPTH_SPREADS, ELEMENT_TEMPER)
            )
    return weights


def clinician_rating_weights(rating: float, expected: Expectation) -> Weights:
    """The weights of the clinician's rating: a clinician notices only some of the ruptures."""
    drop = _limit(_drop_weight(rating, expected, CLINICIAN_DEPTH_SPREADS, CLINICIAN_TEMPER))
    rise = _limit(_drop_weight(rating, expected, -CLINICIAN_RISE_SPREADS, CLINICIAN_TEMPER))
    weights = _for_every_rupture(log(1 - CLINICIAN_AWARENESS + CLINICIAN_AWARENESS * exp(drop)))
    weights[DIVERGENCE] = log(0.5 + 0.5 * exp(rise))  # the clinician's rating rises in half of such ruptures
    return weights


def silence_weights(is_silent: bool, silent_before: int, asked_before: int, prior: RatePrior) -> Weights:
    """The weights of one form, answered or not, after `silent_before` of `asked_before` were not answered."""
    return _missed_weights(is_silent, silent_before, asked_before, prior, WITHDRAWN_SILENCE_RATE)


def absence_weights(is_absent: bool, absent_before: int, appointments_before: int, prior: RatePrior) -> Weights:
    """The weights of one appointment, attended or not."""
    return _missed_weights(is_absent, absent_before, appointments_before, prior, WITHDRAWN_ABSENCE_RATE)


def tension_weights(
    tension: Tension, talked_about: TalkedAbout | None, reported_before: int, asked_before: int
) -> Weights:
    """The weights of an answer to the direct question, by somebody who reported a tension `reported_before` times."""
    usual_rate = usual_tension_rate(reported_before, asked_before)
    rupture_rate = usual_rate + (1 - usual_rate) * TENSION_REPORT_RATE
    if tension == "none":
        return _for_every_rupture(DENIAL_TEMPER * log((1 - rupture_rate) / (1 - usual_rate)))
    weight = log(rupture_rate / usual_rate)
    if tension == "a_little":
        weight /= 2
    return _for_every_rupture(max(0.0, weight + TALKED_ABOUT_WEIGHTS[talked_about]))


def usual_tension_rate(reported_before: int, asked_before: int) -> float:
    """How often this person reports a tension in a calm relationship, as far as is known."""
    return _clip_rate(
        (FALSE_TENSION_REPORT_RATE * TENSION_HABIT_ANSWERS + reported_before) / (TENSION_HABIT_ANSWERS + asked_before)
    )


def cut_short_weights() -> Weights:
    """The weights of a session that was unusually short."""
    return _for_every_rupture(CUT_SHORT_WEIGHT, CUT_SHORT_WITHDRAWAL_WEIGHT)


def add(signals: Collection[Weights]) -> Weights:
    """The weights of several signals together."""
    return [sum(of_component) for of_component in zip(NO_WEIGHTS, *signals, strict=True)]


def _drop_weight(rating: float, expected: Expectation, depth_spreads: float, temper: float) -> float:
    """The weight for a drop by `depth_spreads`: linear in the rating, and less if there are few data."""
    depth = depth_spreads * expected.sureness
    return temper * (-depth * expected.surprise(rating) - depth * depth / 2)


def _limit(weight: float) -> float:
    return min(MAX_WEIGHT, max(-MAX_WEIGHT, weight))


def _soften(weight: float) -> float:
    """The weight as it is up to `MAX_WEIGHT`, and beyond that hardly more: a deeper drop still counts for more."""
    excess = abs(weight) - MAX_WEIGHT
    return weight if excess <= 0 else copysign(MAX_WEIGHT + log1p(excess), weight)


def _missed_weights(
    was_missed: bool, missed_before: int, asked_before: int, prior: RatePrior, withdrawn_rate: float
) -> Weights:
    """Compared with the own habit in every rupture, and with an absolute rate in a withdrawal."""
    if not asked_before:
        return list(NO_WEIGHTS)  # the first form or appointment says nothing about a habit yet
    usual_rate = _clip_rate((prior.happened + missed_before) / (prior.happened + prior.not_happened + asked_before))
    rupture_rate = min(MAX_RATE, MISS_FACTOR * usual_rate)
    withdrawal_rate = min(MAX_RATE, usual_rate + (1 - usual_rate) * withdrawn_rate)
    if was_missed:
        return _for_every_rupture(log(rupture_rate / usual_rate), log(withdrawal_rate / usual_rate))
    usual_presence = 1 - usual_rate
    return _for_every_rupture(log((1 - rupture_rate) / usual_presence), log((1 - withdrawal_rate) / usual_presence))


def _for_every_rupture(weight: float, withdrawal: float | None = None) -> Weights:
    weights = [0.0, *[weight] * (COUNT - 1)]
    if withdrawal is not None:
        weights[WITHDRAWAL] = withdrawal
    return weights


def _clip_rate(rate: float) -> float:
    return min(MAX_USUAL_RATE, max(MIN_USUAL_RATE, rate))
