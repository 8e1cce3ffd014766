"""What each sign of rupture looks like.

A detector reads one fact against the alliance as it was before, and gives evidence or none: its name, its
strength and the numbers behind it. It says "shows signs of", never more. The strength is the ratio to what it takes
to make an episode: of signs that stand alone, to their own threshold; of the others, to the weight that leads from no
belief in a rupture to one of concern, to which they add up.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import hypot, log
from typing import TypeAlias

from services.alliance.domain.detection.baseline import Expectation, expect
from services.alliance.domain.detection.probability import BEGINS, FEW, log_odds
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Session
from shared.events import (
    Element,
    Evidence,
    FeedbackLapsed,
    FeedbackSubmitted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)

Witnessed: TypeAlias = FeedbackSubmitted | FeedbackLapsed | SessionMissed | SessionCancelled | SessionCompleted


@dataclass(frozen=True)
class Reading:
    """One fact, read against the alliance `before` it; `after` has taken it in, its episodes aside."""

    fact: Witnessed
    before: Alliance
    after: Alliance
    policy: Policy
    rating: float | None = None
    """0 to 100; none where the fact is no answer, or holds none that can be read."""
    expected: Expectation | None = None
    whole: float = 0.0
    """What the rating as a whole weighs (see `belief`)."""
    few: float | None = None
    """What the idea weighs that a single element fell."""
    apart: dict[Element, float] = field(default_factory=dict)
    """How far each element lies above the others, in points."""
    expected_apart: dict[Element, Expectation] = field(default_factory=dict)

    def share(self, weight: float) -> float:
        """The strength of a sign of this weight."""
        return weight / (log_odds(self.policy.concern) - log_odds(BEGINS))

    def evidence(self, detector: str, strength: float, element: Element | None = None, /, **numbers: float) -> Evidence:
        """A sign with its numbers; `session` is which of the held sessions it is about, where that is known."""
        session = find(self.after.recent, self.fact.session_id)
        if session is not None and session.number:
            numbers["session"] = session.number
        return Evidence(
            detector=detector,
            strength=round(strength, 3),
            session_id=self.fact.session_id,
            occurred_at=self.fact.occurred_at,
            element=element,
            numbers={name: round(number, 1) for name, number in numbers.items()},
        )


IN_A_ROW = 3  # ratings below what was expected that make a slide
UNUSUAL = 3.0  # predictive spreads that a sign has to lie off to stand alone, besides its points

Detector: TypeAlias = Callable[[Reading], Iterator[Evidence]]


def sudden_drop(observation: Reading) -> Iterator[Evidence]:
    """A rating below what this relationship leads to expect."""
    if observation.rating is not None and observation.expected is not None and observation.whole > 0:
        yield observation.evidence(
            "sudden_drop",
            observation.share(observation.whole),
            rating=observation.rating,
            **_usual(observation.expected),
        )


def sustained_slide(observation: Reading) -> Iterator[Evidence]:
    """Several ratings in a row below what was expected; none of them may be alarming."""
    if observation.rating is None or observation.expected is None or observation.after.client.falling < IN_A_ROW:
        return
    accumulated_weight = log_odds(observation.before.belief) - log_odds(BEGINS)
    if accumulated_weight > 0:
        yield observation.evidence(
            "sustained_slide",
            observation.share(accumulated_weight),
            rating=observation.rating,
            ratings=observation.after.client.falling,
            **_usual(observation.expected),
        )


def clinician_drop(observation: Reading) -> Iterator[Evidence]:
    """A clinician's rating below what this relationship leads to expect of it."""
    if observation.rating is not None and observation.expected is not None and observation.whole > 0:
        yield observation.evidence(
            "clinician_drop",
            observation.share(observation.whole),
            rating=observation.rating,
            **_usual(observation.expected),
        )


def low_level(observation: Reading) -> Iterator[Evidence]:
    """A rolling score that came to be low for anybody; that it stays so is no new sign."""
    before, after, low = observation.before.client, observation.after.client, observation.policy.low_level
    if after.ratings < 3 or after.rolling is None or after.rolling >= low:
        return
    if before.ratings >= 3 and before.rolling is not None and before.rolling < low:
        return
    level = after.rolling
    strength = (100 - level) / (100 - low)
    yield observation.evidence("low_level", strength, level=level, threshold=low)


def element_drop(observation: Reading) -> Iterator[Evidence]:
    """One element falls away from the others, against how it usually stands to them."""
    drops = {
        element: observation.before.beside.elements[element].usual - relative_rating
        for element, relative_rating in observation.apart.items()
        if element in observation.before.beside.elements and observation.before.beside.elements[element].count >= 2
    }
    if not drops or not isinstance(observation.fact, FeedbackSubmitted):
        return
    largest_drop_element = max(drops, key=drops.__getitem__)
    weighted_strength = observation.share((observation.few or 0.0) + log(FEW))
    for element, drop in drops.items():
        expected = observation.expected_apart[element]
        surprise_strength = -expected.surprise(observation.apart[element]) / UNUSUAL
        strength = min(drop / observation.policy.element_points, surprise_strength)
        if strength >= 1 or (element == largest_drop_element and weighted_strength > 0):
            numbers = _beside_the_rest(observation, observation.fact.ratings, element)
            yield observation.evidence("element_drop", max(strength, weighted_strength), element, **numbers)


def _beside_the_rest(observation: Reading, ratings: dict[Element, float], element: Element) -> dict[str, float]:
    """The numbers of an element that fell: what is usual of it, and where the rest stayed if it did.

    An element is the whole plus `share` of how far it lies above the others, and so is what is expected of it.
    """
    rating, expected_relative = 10 * ratings[element], observation.expected_apart[element]
    numbers = {"rating": rating}
    if observation.expected is not None:
        others_ratio = (len(ratings) - 1) / len(ratings)
        spread = hypot(observation.expected.spread, others_ratio * expected_relative.spread)
        numbers |= _usual(Expectation(observation.expected.mean + others_ratio * expected_relative.mean, spread, 1.0))
        if (others_mean := rating - observation.apart[element]) >= observation.expected.low:
            numbers["rest"] = others_mean
    return numbers


def _usual(expected: Expectation) -> dict[str, float]:
    """What was expected, and its band, within the scale."""
    return {"expected": min(100.0, max(0.0, expected.mean)), "low": expected.low, "high": expected.high}


def told_directly(observation: Reading) -> Iterator[Evidence]:
    """Somebody said that there was a tension; it weighs more when it was not talked about."""
    event = observation.fact
    if not isinstance(event, FeedbackSubmitted) or event.tension in (None, "none"):
        return
    tension_rank = {"a_little": 1, "yes": 2}[event.tension]
    talked_about_rank = {"not": 0, "partly": 1, "yes": 2, None: 1}[event.talked_about]
    by_client = 1 if event.rater == "client" else 0
    yield observation.evidence(
        "told_directly",
        _TOLD[tension_rank, talked_about_rank],
        tension=tension_rank,
        talked_about=talked_about_rank,
        by_client=by_client,
        **_what_the_other_said(observation),
    )


def _what_the_other_said(observation: Reading) -> dict[str, float]:
    """1 where the other told of a tension too, 0 where the other said that there was none."""
    event = observation.fact
    session = find(observation.after.recent, event.session_id)
    if session is None or not isinstance(event, FeedbackSubmitted):
        return {}
    other_rater = "clinician" if event.rater == "client" else "client"
    if other_rater in session.told:
        return {"other": 1}
    return {"other": 0} if other_rater in session.denied else {}


_TOLD = {(2, 0): 1.5, (2, 1): 1.2, (2, 2): 1.0, (1, 0): 1.1, (1, 1): 0.8, (1, 2): 0.5}
"""Strength by how much tension there was, and how far it was talked about."""


def withdrawal(observation: Reading) -> Iterator[Evidence]:
    """Sessions missed, called off late or cut short, and answers no longer given, beyond what is usual here."""
    strength = observation.after.withdrawal / observation.policy.withdrawal
    if observation.after.withdrawal <= observation.before.withdrawal:
        return
    recent_sessions = observation.after.recent
    yield observation.evidence(
        "withdrawal",
        strength,
        missed=sum(session.outcome == "missed" for session in recent_sessions),
        cancelled_late=sum(session.outcome == "cancelled_late" for session in recent_sessions),
        cut_short=1 if isinstance(observation.fact, SessionCompleted) else 0,
        silent=1 if isinstance(observation.fact, FeedbackLapsed) else 0,
    )


def apart(observation: Reading) -> Iterator[Evidence]:
    """Client and clinician saw the same session differently, against how they usually do."""
    if not isinstance(observation.fact, FeedbackSubmitted) or observation.before.between.count < 3:
        return
    session = find(observation.after.recent, observation.fact.session_id)
    if session is None or session.client is None or session.clinician is None:
        return
    shift = abs(session.client - session.clinician - observation.before.between.usual)
    prior = observation.policy.prior
    client_expected, clinician_expected = (
        expect(observation.before.client, prior.client),
        expect(observation.before.clinician, prior.clinician),
    )
    strength = min(
        shift / observation.policy.apart_points,
        shift / (UNUSUAL * hypot(client_expected.spread, clinician_expected.spread)),
    )
    if strength >= 1:
        usual_gap = observation.before.between.usual
        yield observation.evidence(
            "apart", strength, client=session.client, clinician=session.clinician, usual=usual_gap
        )


CLIENT: tuple[Detector, ...] = (sudden_drop, sustained_slide, low_level, element_drop, told_directly, apart)
"""What is looked for in a client's answer."""
CLINICIAN: tuple[Detector, ...] = (clinician_drop, told_directly, apart)
UNRATED: tuple[Detector, ...] = (told_directly,)
"""What is looked for in an answer whose instrument we do not know."""
BEHAVIOUR: tuple[Detector, ...] = (withdrawal,)
"""What is looked for in what happens around the ratings."""
STAND_ALONE = frozenset({"low_level", "element_drop", "told_directly", "withdrawal", "apart"})
"""Signs that are worth watching from strength 1 on, whatever the belief."""


def beside_the_others(event: FeedbackSubmitted, element: Element) -> float:
    """How far an element lies above the mean of the others, in points."""
    other_ratings = [rating for name, rating in event.ratings.items() if name != element]
    return 10 * (event.ratings[element] - sum(other_ratings) / len(other_ratings))


def find(sessions: tuple[Session, ...], session_id: object) -> Session | None:
    """The session among the latest ones, if it still is."""
    for session in reversed(sessions):  # the newest is meant nearly always
        if session.session_id == session_id:
            return session
    return None
