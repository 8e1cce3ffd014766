"""How strongly what was seen speaks for a rupture.

Every sign weighs as much as it is likelier in a rupture than without one, as the logarithm of that ratio. The weights
add up to the belief that there is a rupture, which fades from session to session: several signs that are weak alone
speak together, and a slide shows though no single rating is alarming. What is as usual speaks against it.

The figures are assumptions where no source is named; the evaluation shows that the same ruptures are found within a
wide range of each.
"""

from collections.abc import Iterable
from math import exp, log, log1p

from services.alliance.domain.detection.baseline import Expectation
from services.alliance.domain.policy.policy import RatePrior
from shared.events import TalkedAbout, Tension

RUPTURE_START_PROBABILITY, RUPTURE_CONTINUATION_PROBABILITY = (
    0.03,
    0.85,
)  # a session: chance of a rupture where there was none, and of its going on
RUPTURE_DEPTH_SPREADS = 2.5  # spreads: what a rupture is taken to be (Gumz 2012: one to over four)
CLINICIAN_AWARENESS = 0.5  # of ruptures, the clinician (field research)
SINGLE_ELEMENT_WEIGHT = 0.15  # of the weight of a client's answer goes to the idea that a single element fell
MAX_LOG_LIKELIHOOD_RATIO = 5.0  # no single sign weighs more, for or against
RUPTURE_MISS_FACTOR = 2.0  # times a form is missing or a session missed in a rupture
MIN_RATE, MAX_RATE = 0.02, 0.9  # habits further out are not believed
TENSION_REPORT_RATE, FALSE_TENSION_REPORT_RATE = (
    0.4,
    0.05,
)  # how often a tension is told of in a rupture, and without one
TALKED_ABOUT_WEIGHTS: dict[TalkedAbout | None, float] = {"not": 0.5, "partly": 0.0, "yes": -0.5, None: 0.0}
"""A tension that was not talked about weighs more than one that was."""


def decay(probability: float) -> float:
    """The belief as it is before anything is known of the next session."""
    return RUPTURE_START_PROBABILITY * (1 - probability) + RUPTURE_CONTINUATION_PROBABILITY * probability


def update(probability: float, weight: float) -> float:
    """The belief with one more weight."""
    return 1 / (1 + exp(-log_odds(probability) - weight))


def log_odds(probability: float) -> float:
    return log(max(probability, 1e-12)) - log1p(-probability)  # after a repair it is 0


def rating_weight(rating: float, expected: Expectation) -> float:
    """The weight of a rating: for a fall by `DEPTH` spreads, less where little was known."""
    drop_spreads = RUPTURE_DEPTH_SPREADS * expected.sureness
    return min(
        MAX_LOG_LIKELIHOOD_RATIO,
        max(-MAX_LOG_LIKELIHOOD_RATIO, -drop_spreads * expected.surprise(rating) - drop_spreads**2 / 2),
    )


def single_element_weight(weights: Iterable[float]) -> float:
    """The weight for the idea that some single element fell away from the others."""
    ratios = [exp(weight) for weight in weights]
    return log(sum(ratios) / len(ratios))


def client_weight(total_weight: float, element_weight: float | None) -> float:
    """The weight of a client's answer, whose total weighs `whole` and whose elements weigh `few`."""
    return (
        total_weight
        if element_weight is None
        else log((1 - SINGLE_ELEMENT_WEIGHT) * exp(total_weight) + SINGLE_ELEMENT_WEIGHT * exp(element_weight))
    )


def clinician_weight(total_weight: float) -> float:
    """The weight of a clinician's answer: a clinician sees some of the ruptures only."""
    return log(1 - CLINICIAN_AWARENESS + CLINICIAN_AWARENESS * exp(total_weight))


def missed_weight(was_missed: bool, missed_before: int, asked_before: int, prior: RatePrior) -> float:
    """The weight of a form or a session that was missed, or was not, where it was `times` of `asked` before."""
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
