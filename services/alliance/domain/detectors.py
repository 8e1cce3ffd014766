"""What each sign of rupture looks like.

A detector reads one fact against the alliance as it was before, and gives evidence or none: its name, its
strength (the ratio to its threshold) and the numbers behind it. It says "shows signs of", never more.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from services.alliance.domain.alliance import Alliance, Session
from services.alliance.domain.model import ALLOWANCE, Expectation
from services.alliance.domain.policy import Policy
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


@dataclass(frozen=True, slots=True)
class Reading:
    """One fact, read against the alliance `before` it; `after` has taken it in, its episodes aside."""

    fact: Witnessed
    before: Alliance
    after: Alliance
    policy: Policy
    rating: float | None = None
    """0 to 100; none where the fact is no answer, or holds none that can be read."""
    expected: Expectation | None = None

    def evidence(self, detector: str, strength: float, element: Element | None = None, **numbers: float) -> Evidence:
        return Evidence(
            detector=detector,
            strength=round(strength, 3),
            session_id=self.fact.session_id,
            occurred_at=self.fact.occurred_at,
            element=element,
            numbers={name: round(number, 1) for name, number in numbers.items()},
        )


Detector: TypeAlias = Callable[[Reading], Iterator[Evidence]]


def sudden_drop(reading: Reading) -> Iterator[Evidence]:
    """One rating far below what this relationship leads to expect."""
    rating, expected, policy = reading.rating, reading.expected, reading.policy
    own = reading.before.client.mean
    if rating is None or expected is None or own is None:  # the first one has no past
        return
    if min(expected.mean, own) - rating < policy.drop_points:  # early on more is expected than was ever given here
        return
    strength = -expected.surprise(rating) / policy.drop_surprise
    if strength >= 1:
        yield reading.evidence("sudden_drop", strength, rating=rating, expected=expected.mean, low=expected.low)


def sustained_slide(reading: Reading) -> Iterator[Evidence]:
    """Several ratings, none of them alarming, that add up to a fall."""
    rating, expected = reading.rating, reading.expected
    if rating is None or expected is None or reading.before.client.ratings < 3:
        return
    falling = -expected.surprise(rating) > ALLOWANCE
    strength = reading.after.client.slide / reading.policy.slide_surprise
    if falling and strength >= 1:
        yield reading.evidence("sustained_slide", strength, rating=rating, expected=expected.mean)


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
    fact = reading.fact
    if not isinstance(fact, FeedbackSubmitted) or len(fact.ratings) < 3:
        return
    for element in sorted(fact.ratings):
        usual = reading.before.elements.get(element)
        if usual is None or usual.count < 2:
            continue
        fall = usual.usual - beside_the_others(fact, element)
        strength = fall / reading.policy.element_points
        if strength >= 1:
            rating = 10 * fact.ratings[element]
            yield reading.evidence("element_drop", strength, element, rating=rating, expected=min(100.0, rating + fall))


def told_directly(reading: Reading) -> Iterator[Evidence]:
    """Somebody said that there was a tension; it weighs more when it was not talked about."""
    fact = reading.fact
    if not isinstance(fact, FeedbackSubmitted) or fact.tension in (None, "none"):
        return
    told = {"a_little": 1, "yes": 2}[fact.tension]
    talked = {"not": 0, "partly": 1, "yes": 2, None: 1}[fact.talked_about]
    strength = _TOLD[told, talked]
    if strength >= 1:
        by_client = 1 if fact.rater == "client" else 0
        yield reading.evidence("told_directly", strength, tension=told, talked_about=talked, by_client=by_client)


_TOLD = {(2, 0): 1.5, (2, 1): 1.2, (2, 2): 1.0, (1, 0): 1.1, (1, 1): 0.8, (1, 2): 0.5}
"""Strength by how much tension there was, and how far it was talked about."""


def withdrawal(reading: Reading) -> Iterator[Evidence]:
    """Sessions missed or called off late, and answers no longer given, beyond what is usual here."""
    strength = reading.after.withdrawal / reading.policy.withdrawal
    if strength < 1 or reading.after.withdrawal <= reading.before.withdrawal:
        return
    lately = reading.after.recent
    yield reading.evidence(
        "withdrawal",
        strength,
        missed=sum(s.outcome == "missed" for s in lately),
        cancelled_late=sum(s.outcome == "cancelled_late" for s in lately),
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
    strength = moved / reading.policy.apart_points
    if strength >= 1:
        yield reading.evidence("apart", strength, client=session.client, clinician=session.clinician)


CLIENT: tuple[Detector, ...] = (sudden_drop, sustained_slide, low_level, element_drop, told_directly, apart)
"""What is looked for in a client's answer."""
CLINICIAN: tuple[Detector, ...] = (told_directly, apart)
UNRATED: tuple[Detector, ...] = (told_directly,)
"""What is looked for in an answer whose instrument we do not know."""
BEHAVIOUR: tuple[Detector, ...] = (withdrawal,)
"""What is looked for in what happens around the ratings."""


def beside_the_others(fact: FeedbackSubmitted, element: Element) -> float:
    """How far an element lies above the mean of the others, in points."""
    others = [rating for name, rating in fact.ratings.items() if name != element]
    return 10 * (fact.ratings[element] - sum(others) / len(others))


def find(sessions: tuple[Session, ...], session_id: object) -> Session | None:
    """The session among the latest ones, if it still is."""
    return next((s for s in sessions if s.session_id == session_id), None)
