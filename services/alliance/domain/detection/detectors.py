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


def sudden_drop(reading: Reading) -> Iterator[Evidence]:
    """A rating below what this relationship leads to expect."""
    if reading.rating is not None and reading.expected is not None and reading.whole > 0:
        yield reading.evidence(
            "sudden_drop",
            reading.share(reading.whole),
            rating=reading.rating,
            **_usual(reading.expected),
        )


def sustained_slide(reading: Reading) -> Iterator[Evidence]:
    """Several ratings in a row below what was expected; none of them may be alarming."""
    if reading.rating is None or reading.expected is None or reading.after.client.falling < IN_A_ROW:
        return
    carried = log_odds(reading.before.belief) - log_odds(BEGINS)
    if carried > 0:
        yield reading.evidence(
            "sustained_slide",
            reading.share(carried),
            rating=reading.rating,
            ratings=reading.after.client.falling,
            **_usual(reading.expected),
        )


def clinician_drop(reading: Reading) -> Iterator[Evidence]:
    """A clinician's rating below what this relationship leads to expect of it."""
    if reading.rating is not None and reading.expected is not None and reading.whole > 0:
        yield reading.evidence(
            "clinician_drop", reading.share(reading.whole), rating=reading.rating, **_usual(reading.expected)
        )


def low_level(reading: Reading) -> Iterator[Evidence]:
    """A rolling score that came to be low for anybody; that it stays so is no new sign."""
    before, after, low = reading.before.client, reading.after.client, reading.policy.low_level
    if after.ratings < 3 or after.rolling is None or after.rolling >= low:
        return
    if before.ratings >= 3 and before.rolling is not None and before.rolling < low:
        return
    level = after.rolling
    strength = (100 - level) / (100 - low)
    yield reading.evidence("low_level", strength, level=level, threshold=low)


def element_drop(reading: Reading) -> Iterator[Evidence]:
    """One element falls away from the others, against how it usually stands to them."""
    falls = {
        element: reading.before.beside.elements[element].usual - apart
        for element, apart in reading.apart.items()
        if element in reading.before.beside.elements and reading.before.beside.elements[element].count >= 2
    }
    if not falls or not isinstance(reading.fact, FeedbackSubmitted):
        return
    furthest = max(falls, key=falls.__getitem__)
    weighs = reading.share((reading.few or 0.0) + log(FEW))
    for element, fall in falls.items():
        expected_apart = reading.expected_apart[element]
        unusual = -expected_apart.surprise(reading.apart[element]) / UNUSUAL
        strength = min(fall / reading.policy.element_points, unusual)
        if strength >= 1 or (element == furthest and weighs > 0):
            numbers = _beside_the_rest(reading, reading.fact.ratings, element)
            yield reading.evidence("element_drop", max(strength, weighs), element, **numbers)


def _beside_the_rest(reading: Reading, ratings: dict[Element, float], element: Element) -> dict[str, float]:
    """The numbers of an element that fell: what is usual of it, and where the rest stayed if it did.

    An element is the whole plus `share` of how far it lies above the others, and so is what is expected of it.
    """
    rating, beside = 10 * ratings[element], reading.expected_apart[element]
    numbers = {"rating": rating}
    if reading.expected is not None:
        share = (len(ratings) - 1) / len(ratings)
        spread = hypot(reading.expected.spread, share * beside.spread)
        numbers |= _usual(Expectation(reading.expected.mean + share * beside.mean, spread, 1.0))
        if (rest := rating - reading.apart[element]) >= reading.expected.low:
            numbers["rest"] = rest
    return numbers


def _usual(expected: Expectation) -> dict[str, float]:
    """What was expected, and its band, within the scale."""
    return {"expected": min(100.0, max(0.0, expected.mean)), "low": expected.low, "high": expected.high}


def told_directly(reading: Reading) -> Iterator[Evidence]:
    """Somebody said that there was a tension; it weighs more when it was not talked about."""
    fact = reading.fact
    if not isinstance(fact, FeedbackSubmitted) or fact.tension in (None, "none"):
        return
    told = {"a_little": 1, "yes": 2}[fact.tension]
    talked = {"not": 0, "partly": 1, "yes": 2, None: 1}[fact.talked_about]
    by_client = 1 if fact.rater == "client" else 0
    yield reading.evidence(
        "told_directly",
        _TOLD[told, talked],
        tension=told,
        talked_about=talked,
        by_client=by_client,
        **_what_the_other_said(reading),
    )


def _what_the_other_said(reading: Reading) -> dict[str, float]:
    """1 where the other told of a tension too, 0 where the other said that there was none."""
    fact = reading.fact
    session = find(reading.after.recent, fact.session_id)
    if session is None or not isinstance(fact, FeedbackSubmitted):
        return {}
    other = "clinician" if fact.rater == "client" else "client"
    if other in session.told:
        return {"other": 1}
    return {"other": 0} if other in session.denied else {}


_TOLD = {(2, 0): 1.5, (2, 1): 1.2, (2, 2): 1.0, (1, 0): 1.1, (1, 1): 0.8, (1, 2): 0.5}
"""Strength by how much tension there was, and how far it was talked about."""


def withdrawal(reading: Reading) -> Iterator[Evidence]:
    """Sessions missed, called off late or cut short, and answers no longer given, beyond what is usual here."""
    strength = reading.after.withdrawal / reading.policy.withdrawal
    if reading.after.withdrawal <= reading.before.withdrawal:
        return
    lately = reading.after.recent
    yield reading.evidence(
        "withdrawal",
        strength,
        missed=sum(s.outcome == "missed" for s in lately),
        cancelled_late=sum(s.outcome == "cancelled_late" for s in lately),
        cut_short=1 if isinstance(reading.fact, SessionCompleted) else 0,
        silent=1 if isinstance(reading.fact, FeedbackLapsed) else 0,
    )


def apart(reading: Reading) -> Iterator[Evidence]:
    """Client and clinician saw the same session differently, against how they usually do."""
    if not isinstance(reading.fact, FeedbackSubmitted) or reading.before.between.count < 3:
        return
    session = find(reading.after.recent, reading.fact.session_id)
    if session is None or session.client is None or session.clinician is None:
        return
    moved = abs(session.client - session.clinician - reading.before.between.usual)
    prior = reading.policy.prior
    client, clinician = expect(reading.before.client, prior.client), expect(reading.before.clinician, prior.clinician)
    strength = min(moved / reading.policy.apart_points, moved / (UNUSUAL * hypot(client.spread, clinician.spread)))
    if strength >= 1:
        usual = reading.before.between.usual
        yield reading.evidence("apart", strength, client=session.client, clinician=session.clinician, usual=usual)


CLIENT: tuple[Detector, ...] = (sudden_drop, sustained_slide, low_level, element_drop, told_directly, apart)
"""What is looked for in a client's answer."""
CLINICIAN: tuple[Detector, ...] = (clinician_drop, told_directly, apart)
UNRATED: tuple[Detector, ...] = (told_directly,)
"""What is looked for in an answer whose instrument we do not know."""
BEHAVIOUR: tuple[Detector, ...] = (withdrawal,)
"""What is looked for in what happens around the ratings."""
STAND_ALONE = frozenset({"low_level", "element_drop", "told_directly", "withdrawal", "apart"})
"""Signs that are worth watching from strength 1 on, whatever the belief."""


def beside_the_others(fact: FeedbackSubmitted, element: Element) -> float:
    """How far an element lies above the mean of the others, in points."""
    others = [rating for name, rating in fact.ratings.items() if name != element]
    return 10 * (fact.ratings[element] - sum(others) / len(others))


def find(sessions: tuple[Session, ...], session_id: object) -> Session | None:
    """The session among the latest ones, if it still is."""
    for session in reversed(sessions):  # the newest is meant nearly always
        if session.session_id == session_id:
            return session
    return None
