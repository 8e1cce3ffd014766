"""The detectors of signs of rupture.

A detector compares one event with the alliance before it. It yields evidence or none: its name, its strength and the
numbers behind it. Evidence says "shows signs of", never more. The strength is relative to what opens an episode. For a
standalone sign that is its own threshold. For the other signs, whose weights add up, it is the weight that raises the
probability from that of a starting rupture to one of concern.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import hypot, log
from typing import TypeAlias

from services.alliance.domain.detection.baseline import Expectation, expect_rating
from services.alliance.domain.detection.probability import RUPTURE_START_PROBABILITY, SINGLE_ELEMENT_WEIGHT, log_odds
from services.alliance.domain.detection.rating import WeighedRating
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
    TalkedAbout,
)

ObservedEvent: TypeAlias = FeedbackSubmitted | FeedbackLapsed | SessionMissed | SessionCancelled | SessionCompleted


@dataclass(frozen=True)
class Observation:
    """One event and the alliance `before` it; `after` includes the event, except for its effect on episodes."""

    event: ObservedEvent
    session: Session
    """The session that the event is about; it includes the event."""
    before: Alliance
    after: Alliance
    policy: Policy
    rating: WeighedRating | None = None
    """None if the event is not an answer, or has no rating that can be read."""

    def strength_of(self, weight: float) -> float:
        """The strength of a sign of this weight."""
        return weight / (log_odds(self.policy.concern) - log_odds(RUPTURE_START_PROBABILITY))

    def create_evidence(
        self, detector: str, strength: float, element: Element | None = None, /, **numbers: float
    ) -> Evidence:
        """A sign with its numbers; `session` is the number of the held session that it is about, if that is known."""
        if self.session.number:
            numbers["session"] = self.session.number
        return Evidence(
            detector=detector,
            strength=round(strength, 3),
            session_id=self.event.session_id,
            occurred_at=self.event.occurred_at,
            element=element,
            numbers={name: round(number, 1) for name, number in numbers.items()},
        )


MIN_SLIDE_RATINGS = 3  # consecutive ratings below what was expected that make a slide
MIN_STANDALONE_SPREADS = 3.0  # predictive spreads that a standalone sign deviates by, in addition to its points

Detector: TypeAlias = Callable[[Observation], Iterator[Evidence]]


def sudden_drop(observation: Observation) -> Iterator[Evidence]:
    """A rating below what was expected in this relationship."""
    rating = observation.rating
    if rating is not None and rating.weight > 0:
        strength = observation.strength_of(rating.weight)
        yield observation.create_evidence("sudden_drop", strength, **_rating_numbers(rating))


def sustained_slide(observation: Observation) -> Iterator[Evidence]:
    """Several ratings in a row below what was expected, even if none of them is alarming alone."""
    rating, streak = observation.rating, observation.after.client.below_expected_streak
    if rating is None or streak < MIN_SLIDE_RATINGS:
        return
    accumulated_weight = log_odds(observation.before.rupture_probability) - log_odds(RUPTURE_START_PROBABILITY)
    if accumulated_weight > 0:
        strength = observation.strength_of(accumulated_weight)
        numbers = {"rating": rating.value, "ratings": streak, **_expected_numbers(rating.expected)}
        yield observation.create_evidence("sustained_slide", strength, **numbers)


def clinician_drop(observation: Observation) -> Iterator[Evidence]:
    """A clinician's rating below what was expected in this relationship."""
    rating = observation.rating
    if rating is not None and rating.weight > 0:
        strength = observation.strength_of(rating.weight)
        yield observation.create_evidence("clinician_drop", strength, **_rating_numbers(rating))


def low_level(observation: Observation) -> Iterator[Evidence]:
    """A rolling score that became low by any standard; that it stays low is no new sign."""
    before, after, low = observation.before.client, observation.after.client, observation.policy.low_level
    if after.ratings < 3 or after.rolling_score is None or after.rolling_score >= low:
        return
    if before.ratings >= 3 and before.rolling_score is not None and before.rolling_score < low:
        return
    level = after.rolling_score
    strength = (100 - level) / (100 - low)
    yield observation.create_evidence("low_level", strength, level=level, threshold=low)


def element_drop(observation: Observation) -> Iterator[Evidence]:
    """One element drops relative to the others, compared with its usual difference from them."""
    event, rating, gaps = observation.event, observation.rating, observation.before.element_gaps.elements
    if rating is None or not isinstance(event, FeedbackSubmitted):
        return
    drops = {
        element: gaps[element].mean - relative_rating
        for element, relative_rating in rating.relative_ratings.items()
        if element in gaps and gaps[element].count >= 2
    }
    if not drops:
        return
    largest_drop_element = max(drops, key=drops.__getitem__)
    weighted_strength = observation.strength_of((rating.element_weight or 0.0) + log(SINGLE_ELEMENT_WEIGHT))
    for element, drop in drops.items():
        surprise = rating.expected_relative[element].surprise(rating.relative_ratings[element])
        strength = min(drop / observation.policy.element_points, -surprise / MIN_STANDALONE_SPREADS)
        if strength >= 1 or (element == largest_drop_element and weighted_strength > 0):
            numbers = _element_numbers(rating, event.ratings, element)
            yield observation.create_evidence("element_drop", max(strength, weighted_strength), element, **numbers)


def _element_numbers(rating: WeighedRating, ratings: dict[Element, float], element: Element) -> dict[str, float]:
    """The numbers of an element that dropped: what was expected of it, and the others' mean if that did not drop.

    An element's rating is the overall rating plus `others_ratio` times its difference from the others. The same holds
    for the expectations.
    """
    value, expected_relative = 10 * ratings[element], rating.expected_relative[element]
    others_ratio = (len(ratings) - 1) / len(ratings)
    expected = Expectation(
        rating.expected.mean + others_ratio * expected_relative.mean,
        hypot(rating.expected.spread, others_ratio * expected_relative.spread),
        1.0,
    )
    numbers = {"rating": value, **_expected_numbers(expected)}
    if (others_mean := value - rating.relative_ratings[element]) >= rating.expected.low:
        numbers["rest"] = others_mean
    return numbers


def _rating_numbers(rating: WeighedRating) -> dict[str, float]:
    return {"rating": rating.value, **_expected_numbers(rating.expected)}


def _expected_numbers(expected: Expectation) -> dict[str, float]:
    """The expected rating and its band, within the scale."""
    return {"expected": min(100.0, max(0.0, expected.mean)), "low": expected.low, "high": expected.high}


def told_directly(observation: Observation) -> Iterator[Evidence]:
    """Client or clinician reported a tension; it weighs more if it was not talked about."""
    event = observation.event
    if not isinstance(event, FeedbackSubmitted) or event.tension in (None, "none"):
        return
    tension_rank = {"a_little": 1, "yes": 2}[event.tension]
    talked_about = {} if event.talked_about is None else {"talked_about": _TALKED_ABOUT_RANKS[event.talked_about]}
    by_client = 1 if event.rater == "client" else 0
    yield observation.create_evidence(
        "told_directly",
        _TENSION_STRENGTHS[tension_rank, talked_about.get("talked_about", _NOT_SAID_WEIGHS_AS)],
        tension=tension_rank,
        by_client=by_client,
        **talked_about,
        **_other_rater_numbers(event, observation.session),
    )


def _other_rater_numbers(event: FeedbackSubmitted, session: Session) -> dict[str, float]:
    """1 if the other rater reported a tension too, 0 if the other rater denied it."""
    other_rater = "clinician" if event.rater == "client" else "client"
    if other_rater in session.tension_reported_by:
        return {"other": 1}
    return {"other": 0} if other_rater in session.tension_denied_by else {}


_TALKED_ABOUT_RANKS: dict[TalkedAbout, int] = {"not": 0, "partly": 1, "yes": 2}
_NOT_SAID_WEIGHS_AS = _TALKED_ABOUT_RANKS["partly"]  # in the middle
_TENSION_STRENGTHS = {(2, 0): 1.5, (2, 1): 1.2, (2, 2): 1.0, (1, 0): 1.1, (1, 1): 0.8, (1, 2): 0.5}
"""Strength by the degree of the tension, and by how far it was talked about."""


def withdrawal(observation: Observation) -> Iterator[Evidence]:
    """Sessions missed, cancelled late or cut short, and unanswered forms, beyond what is usual in this relationship."""
    strength = observation.after.withdrawal / observation.policy.withdrawal
    if observation.after.withdrawal <= observation.before.withdrawal:
        return
    recent_sessions = [s for s in observation.after.recent_sessions if not s.without_consent]
    yield observation.create_evidence(
        "withdrawal",
        strength,
        missed=sum(session.attendance == "missed" for session in recent_sessions),
        cancelled_late=sum(session.attendance == "cancelled_late" for session in recent_sessions),
        cut_short=1 if isinstance(observation.event, SessionCompleted) else 0,
        silent=1 if isinstance(observation.event, FeedbackLapsed) else 0,
    )


def apart(observation: Observation) -> Iterator[Evidence]:
    """Client and clinician rated the same session differently, compared with their usual difference."""
    before, policy = observation.before, observation.policy
    if observation.session.both_ratings is None or before.rater_gap.count < 3:
        return
    client, clinician = observation.session.both_ratings
    shift = abs(client - clinician - before.rater_gap.mean)
    client_expected = expect_rating(before.client, policy.prior.client)
    clinician_expected = expect_rating(before.clinician, policy.prior.clinician)
    strength = min(
        shift / policy.apart_points,
        shift / (MIN_STANDALONE_SPREADS * hypot(client_expected.spread, clinician_expected.spread)),
    )
    if strength >= 1:
        usual_gap = before.rater_gap.mean
        yield observation.create_evidence("apart", strength, client=client, clinician=clinician, usual=usual_gap)


CLIENT_DETECTORS: tuple[Detector, ...] = (sudden_drop, sustained_slide, low_level, element_drop, told_directly, apart)
"""Detectors for a client's answer."""
CLINICIAN_DETECTORS: tuple[Detector, ...] = (clinician_drop, told_directly, apart)
BEHAVIOUR_DETECTORS: tuple[Detector, ...] = (withdrawal,)
"""Detectors for what was missed, cancelled late or cut short, and for a form that lapsed."""
STANDALONE_DETECTORS = frozenset(
    detector.__name__ for detector in (low_level, element_drop, told_directly, withdrawal, apart)
)
"""The detectors whose signs are worth watching from strength 1 on, at any probability of a rupture."""
