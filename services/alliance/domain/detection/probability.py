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
from services.alliance.domain.policy.policy import Habit
from shared.events import TalkedAbout, Tension

BEGINS, STAYS = 0.03, 0.85  # a session: chance of a rupture where there was none, and of its going on
DEPTH = 2.5  # spreads: what a rupture is taken to be (Gumz 2012: one to over four)
SEES = 0.5  # of ruptures, the clinician (field research)
FEW = 0.15  # of the weight of a client's answer goes to the idea that a single element fell
LIMIT = 5.0  # no single sign weighs more, for or against
LIKELIER = 2.0  # times a form is missing or a session missed in a rupture
RARELY, OFTEN = 0.02, 0.9  # habits further out are not believed
TOLD, TOLD_FALSELY = 0.4, 0.05  # how often a tension is told of in a rupture, and without one
UNSPOKEN: dict[TalkedAbout | None, float] = {"not": 0.5, "partly": 0.0, "yes": -0.5, None: 0.0}
"""A tension that was not talked about weighs more than one that was."""


def faded(belief: float) -> float:
    """The belief as it is before anything is known of the next session."""
    return BEGINS * (1 - belief) + STAYS * belief


def moved(belief: float, weight: float) -> float:
    """The belief with one more weight."""
    return 1 / (1 + exp(-log_odds(belief) - weight))


def log_odds(belief: float) -> float:
    return log(max(belief, 1e-12)) - log1p(-belief)  # after a repair it is 0


def fell(rating: float, expected: Expectation) -> float:
    """The weight of a rating: for a fall by `DEPTH` spreads, less where little was known."""
    drop_spreads = DEPTH * expected.sureness
    return min(LIMIT, max(-LIMIT, -drop_spreads * expected.surprise(rating) - drop_spreads**2 / 2))


def one_of(weights: Iterable[float]) -> float:
    """The weight for the idea that some single element fell away from the others."""
    ratios = [exp(weight) for weight in weights]
    return log(sum(ratios) / len(ratios))


def clients(whole: float, few: float | None) -> float:
    """The weight of a client's answer, whose total weighs `whole` and whose elements weigh `few`."""
    return whole if few is None else log((1 - FEW) * exp(whole) + FEW * exp(few))


def clinicians(whole: float) -> float:
    """The weight of a clinician's answer: a clinician sees some of the ruptures only."""
    return log(1 - SEES + SEES * exp(whole))


def missed(happened: bool, times: int, asked_before: int, prior: Habit) -> float:
    """The weight of a form or a session that was missed, or was not, where it was `times` of `asked` before."""
    if not asked_before:
        return 0.0
    usual_rate = min(
        OFTEN, max(RARELY, (prior.happened + times) / (prior.happened + prior.not_happened + asked_before))
    )
    rupture_rate = min(OFTEN, LIKELIER * usual_rate)
    return log(rupture_rate / usual_rate) if happened else log((1 - rupture_rate) / (1 - usual_rate))


def told(tension: Tension | None, talked_about: TalkedAbout | None) -> float:
    """The weight of an answer to the direct question."""
    if tension is None:
        return 0.0
    if tension == "none":
        return log((1 - TOLD) / (1 - TOLD_FALSELY))
    weight = log(TOLD / TOLD_FALSELY) + UNSPOKEN[talked_about]
    return weight if tension == "yes" else weight / 2
