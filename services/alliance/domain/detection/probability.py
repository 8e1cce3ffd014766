"""The probability of a rupture, given everything observed.

The weight of a sign is its log likelihood ratio: the logarithm of how much likelier it is in a rupture than without
one. The weights add up to the probability of a rupture, which decays from session to session. So several weak signs
count together, and a slide shows although no single rating is alarming. What is as usual counts against a rupture.

Figures without a source are assumptions; the evaluation shows that the same ruptures are found within a wide range of
each.
"""

from collections.abc import Iterable
from math import exp, log, log1p

from services.alliance.domain.detection.baseline import Expectation
from services.alliance.domain.policy.policy import RatePrior
from shared.events import TalkedAbout, Tension

RUPTURE_START_PROBABILITY = 0.03  # per session, if there was no rupture before
RUPTURE_CONTINUATION_PROBABILITY = 0.85  # per session, that a rupture goes on
RUPTURE_DEPTH_SPREADS = 2.5  # assumed depth of a rupture (Gumz 2012: one to over four)
CLINICIAN_AWARENESS = 0.5  # of the ruptures are noticed by the clinician (field research)
SINGLE_ELEMENT_WEIGHT = 0.15  # of a client's answer goes to the hypothesis that a single element dropped
MAX_LOG_LIKELIHOOD_RATIO = 5.0  # no single sign weighs more, for or against
RUPTURE_MISS_FACTOR = 2.0  # in a rupture, forms and sessions are missed this many times as often
MIN_RATE, MAX_RATE = 0.02, 0.9  # more extreme habits are not credible
TENSION_REPORT_RATE = 0.4  # how often a tension is reported in a rupture
FALSE_TENSION_REPORT_RATE = 0.05  # and without one
TALKED_ABOUT_WEIGHTS: dict[TalkedAbout | None, float] = {"not": 0.5, "partly": 0.0, "yes": -0.5, None: 0.0}
"""A tension that was not talked about weighs more than one that was."""


def decay(probability: float) -> float:
    """The probability before anything is known of the next session."""
    return RUPTURE_START_PROBABILITY * (1 - probability) + RUPTURE_CONTINUATION_PROBABILITY * probability


def update(probability: float, *weights: float) -> float:
    """The probability after these weights."""
    for weight in weights:
        probability = 1 / (1 + exp(-log_odds(probability) - weight))
    return probability


def log_odds(probability: float) -> float:
    return log(max(probability, 1e-12)) - log1p(-probability)  # after a repair it is 0


def rating_weight(rating: float, expected: Expectation) -> float:
    """The weight of a rating: for a drop by RUPTURE_DEPTH_SPREADS, and less if there are few data."""
    drop_spreads = RUPTURE_DEPTH_SPREADS * expected.sureness
    return min(
        MAX_LOG_LIKELIHOOD_RATIO,
        max(-MAX_LOG_LIKELIHOOD_RATIO, -drop_spreads * expected.surprise(rating) - drop_spreads**2 / 2),
    )


def single_element_weight(weights: Iterable[float]) -> float:
    """The weight of the hypothesis that any single element dropped relative to the others."""
    ratios = [exp(weight) for weight in weights]
    return log(sum(ratios) / len(ratios))


def client_weight(total_weight: float, element_weight: float | None) -> float:
    """The weight of a client's answer, from the weight of its total and that of a single element."""
    return (
        total_weight
        if element_weight is None
        else log((1 - SINGLE_ELEMENT_WEIGHT) * exp(total_weight) + SINGLE_ELEMENT_WEIGHT * exp(element_weight))
    )


def clinician_weight(total_weight: float) -> float:
    """The weight of a clinician's answer: a clinician notices only some of the ruptures."""
    return log(1 - CLINICIAN_AWARENESS + CLINICIAN_AWARENESS * exp(total_weight))


def missed_weight(was_missed: bool, missed_before: int, asked_before: int, prior: RatePrior) -> float:
    """The weight of one form or session, missed or not, after `missed_before` of `asked_before` were missed."""
    if not asked_before:
        return 0.0
    usual_rate = min(
        MAX_RATE, max(MIN_RATE, (prior.happened + missed_before) / (prior.happened + prior.not_happened + asked_before))
    )
    rupture_rate = min(MAX_RATE, RUPTURE_MISS_FACTOR * usual_rate)
    return log(rupture_rate / usual_rate) if was_missed else log((1 - rupture_rate) / (1 - usual_rate))


def tension_weight(tension: Tension | None, talked_about: TalkedAbout | None) -> float:
    """The weight of an answer to the direct question."""
    if tension is None:
        return 0.0
    if tension == "none":
        return log((1 - TENSION_REPORT_RATE) / (1 - FALSE_TENSION_REPORT_RATE))
    weight = log(TENSION_REPORT_RATE / FALSE_TENSION_REPORT_RATE) + TALKED_ABOUT_WEIGHTS[talked_about]
    return weight if tension == "yes" else weight / 2
