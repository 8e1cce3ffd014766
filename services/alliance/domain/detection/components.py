"""The components of the model: what can be going on in a relationship, and how likely each of it is.

In a session, exactly one component is true: the relationship is calm, or there is a rupture that shows in the rating as
a whole, in one of the eight elements, in the client's withdrawal, or in that client and clinician rate apart. The state
holds one probability for each; they add up to 1. Every signal multiplies them by how likely it is under each component
(`weights`), and from session to session a rupture begins, goes on or ends. So several weak signs of one kind count
together, and signs of different kinds are weighed against each other in one place.

The figures were fitted to simulated relationships, in worlds other than those of the evaluation.
"""

from collections.abc import Sequence
from functools import cache
from math import exp, log, log1p
from operator import mul
from typing import TypeAlias, get_args

from shared.events import Element

ELEMENTS: tuple[Element, ...] = get_args(Element)

Probabilities: TypeAlias = tuple[float, ...]
"""The probability of each component, in the order of the indexes below."""

CALM, WHOLE = 0, 1
FIRST_ELEMENT = 2
WITHDRAWAL = FIRST_ELEMENT + len(ELEMENTS)
DIVERGENCE = WITHDRAWAL + 1
COUNT = DIVERGENCE + 1

STEPS = 1e8  # between 0 and 1: eight decimals are half as long in the stored state; `round(p, 8)` takes twice the time

START_PROBABILITY = 0.02  # of a rupture, per session of a calm relationship
CONTINUATION_PROBABILITY = 0.85  # of a rupture, per session
FIRST_PROBABILITY = 0.12  # of a rupture, before anything is known: as many as there are in the long run
_WHOLE_SHARE, _ELEMENT_SHARE, _WITHDRAWAL_SHARE, _DIVERGENCE_SHARE = 0.50, 0.28, 0.09, 0.13  # of the ruptures
_SHARES = (_WHOLE_SHARE, *[_ELEMENT_SHARE / len(ELEMENTS)] * len(ELEMENTS), _WITHDRAWAL_SHARE, _DIVERGENCE_SHARE)
START: Probabilities = (1 - FIRST_PROBABILITY, *(FIRST_PROBABILITY * share for share in _SHARES))
"""Before anything is known of a relationship, and again after an episode has ended."""

MIN_TO_KEEP_SIGNS = 0.1  # probability of a rupture, not calibrated; below this, the signs that led to it are dropped

REFERENCE_BASE_RATE = 0.25  # of relationships with a rupture in sixteen sessions: what the figures above stand for
CALIBRATION_OFFSET, CALIBRATION_SLOPE = -0.85, 0.54
"""What makes log-odds of the components those of a rupture: the model takes signals for independent that are not."""


def pass_to_next_session(probabilities: Probabilities) -> Probabilities:
    """The probabilities before anything is known of the next session."""
    calm = probabilities[CALM]
    beginning = START_PROBABILITY * calm
    ruptures = [
        CONTINUATION_PROBABILITY * probability + beginning * share
        for probability, share in zip(probabilities[WHOLE:], _SHARES, strict=True)
    ]
    return (1 - sum(ruptures), *ruptures)


def update(probabilities: Probabilities, weights: Sequence[float]) -> Probabilities:
    """The probabilities after a signal with these weights, one for each component.

    A weight is the logarithm of how much likelier the signal is under the component than in a calm relationship.
    """
    known = probabilities or START  # empty if all that is known is an appointment that does not count
    products = list(map(mul, known, map(exp, weights)))
    steps = STEPS / sum(products)
    return tuple([round(product * steps) / STEPS for product in products])


def log_odds(probability: float) -> float:
    return log(max(probability, 1e-12)) - log1p(-min(probability, 1 - 1e-12))


def rupture_log_odds(probabilities: Probabilities) -> float:
    """The log-odds of any rupture, not calibrated: for comparisons within one model."""
    return log_odds(1 - probabilities[CALM])


def rupture_probability(probabilities: Probabilities, base_rate: float) -> float:
    """The calibrated probability of a rupture, where `base_rate` of relationships have one in sixteen sessions."""
    calibrated = CALIBRATION_OFFSET + CALIBRATION_SLOPE * rupture_log_odds(probabilities)
    return 1 / (1 + exp(_log_odds_to_reference(base_rate) - calibrated))


@cache
def _log_odds_to_reference(base_rate: float) -> float:
    return log_odds(REFERENCE_BASE_RATE) - log_odds(base_rate)


@cache
def log_odds_from_start_to(probability: float, base_rate: float) -> float:
    """How far the log-odds of `rupture_log_odds` must rise from the start until the calibrated probability is this."""
    calibrated = log_odds(probability) - log_odds(base_rate) + log_odds(REFERENCE_BASE_RATE)
    return (calibrated - CALIBRATION_OFFSET) / CALIBRATION_SLOPE - rupture_log_odds(START)
