"""The detectors of signs of rupture: they put into words and numbers what moved the probability of a rupture.

A detector compares one event with the alliance before it. It yields evidence or none: its name, its strength and the
numbers behind it. Evidence says "shows signs of", never more. The strength is how far the signal alone moved the
probability, relative to the way from a starting relationship to one of concern. Two detectors need no probability: what
a client reports directly, and an answer at the floor.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from math import hypot
from typing import TypeAlias

from services.alliance.domain.detection import components, floor
from services.alliance.domain.detection.absences import withdrawal_numbers
from services.alliance.domain.detection.baseline import Expectation
from services.alliance.domain.detection.rating import ExpectedRating
from services.alliance.domain.detection.weights import Weights, usual_tension_rate
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Session
from shared.clinical.signs import MIN_ABSENCES_IN_A_ROW, absences_in_a_row
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

MIN_LOG_ODDS_TO_CONCERN = 0.5  # a policy may set `concern` below where a relationship starts: a drop is a sign still


@dataclass(frozen=True, slots=True)
class Observation:
    """One event and the alliance `before` it; `after` includes the event, except for its effect on episodes."""

    event: ObservedEvent
    session: Session
    """The session that the event is about; it includes the event."""
    before: Alliance
    after: Alliance
    policy: Policy
    rating: ExpectedRating | None = None
    """None if the event is not an answer, or has no rating that can be read."""
    signals: Mapping[str, Weights] = field(default_factory=dict)
    """The weights of each signal in the event, by the name of the signal."""

    @property
    def probability(self) -> float:
        """The probability of a rupture after the event."""
        return components.rupture_probability(self.after.components, self.policy.base_rate)

    @property
    def log_odds_to_concern(self) -> float:
        way = components.log_odds_from_start_to(self.policy.concern, self.policy.base_rate)
        return max(way, MIN_LOG_ODDS_TO_CONCERN)

    def strength(self, signal: str) -> float:
        """How far this signal alone moved the log-odds of a rupture, relative to what makes an episode of concern."""
        if signal not in self.signals:
            return 0.0
        before = self.before.components
        moved = components.rupture_log_odds(components.update(before, self.signals[signal]))
        return (moved - components.rupture_log_odds(before)) / self.log_odds_to_concern

    @property
    def _hours_after_session(self) -> float:
        """0 also if only answers about the session are known, or that they lapsed."""
        if isinstance(self.event, SessionCancelled):
            return -self.event.notice_hours
        return (self.event.occurred_at - self.session.at) / timedelta(hours=1) if self.session.attendance else 0.0

    def create_evidence(
        self, detector: str, strength: float, element: Element | None = None, /, **numbers: float
    ) -> Evidence:
        """A sign with its numbers; `session` is the number of the held session that it is about, if that is known.

        `hours_after_session` is how long after the session it occurred: negative for a cancellation.
        """
        if self.session.number:
            numbers["session"] = self.session.number
        if hours := round(self._hours_after_session, 1):
            numbers["hours_after_session"] = hours
        return Evidence(
            detector=detector,
            strength=round(max(0.0, strength), 3),
            session_id=self.event.session_id,
            occurred_at=self.event.occurred_at,
            element=element,
            numbers={name: round(number, 1) for name, number in numbers.items()},
        )


MIN_SLIDE_RATINGS = 3  # consecutive ratings below what was expected that make a slide
ROUNDING_ERROR_POINTS = 1e-9
HABITUAL_TENSION_RATE = 0.5  # of the answers: who reports a tension more often than not reports nothing new
MAX_ELEMENTS = 3  # of one answer that are named
MIN_ELEMENT_SHARE = 0.5  # of the largest drop: an element that dropped less is not named with it

Detector: TypeAlias = Callable[[Observation], Iterator[Evidence]]


def sudden_drop(observation: Observation) -> Iterator[Evidence]:
    """A rating below what was expected in this relationship."""
    rating, strength = observation.rating, observation.strength("rating")
    if rating is not None and strength > 0:
        yield observation.create_evidence("sudden_drop", strength, **_rating_numbers(observation, rating))


def sustained_slide(observation: Observation) -> Iterator[Evidence]:
    """Several ratings in a row below what was expected, even if none of them is alarming alone."""
    rating, streak = observation.rating, observation.after.client.below_expected_streak
    if rating is None or streak < MIN_SLIDE_RATINGS:
        return
    start = components.rupture_log_odds(components.START)
    accumulated = components.rupture_log_odds(observation.after.components) - start
    if accumulated > 0:
        strength = accumulated / observation.log_odds_to_concern
        yield observation.create_evidence(
            "sustained_slide", strength, ratings=streak, **_rating_numbers(observation, rating)
        )


def clinician_drop(observation: Observation) -> Iterator[Evidence]:
    """A clinician's rating below what was expected in this relationship."""
    rating, strength = observation.rating, observation.strength("rating")
    if rating is not None and strength > 0 and rating.value < rating.expected.mean:
        yield observation.create_evidence("clinician_drop", strength, **_rating_numbers(observation, rating))


def element_drop(observation: Observation) -> Iterator[Evidence]:
    """Elements that dropped relative to the others, compared with their usual difference from them."""
    event, rating, strength = observation.event, observation.rating, observation.strength("elements")
    if rating is None or not isinstance(event, FeedbackSubmitted) or strength <= 0:
        return
    weights = dict(zip(components.ELEMENTS, observation.signals["elements"][components.FIRST_ELEMENT :], strict=False))
    largest = max(weights.values())
    if largest <= 0:  # none is known yet, and the probabilities differ by what rounding has changed
        return
    named = sorted(weights, key=weights.__getitem__, reverse=True)[:MAX_ELEMENTS]
    for element in named:
        if weights[element] >= MIN_ELEMENT_SHARE * largest:
            share = strength * weights[element] / largest
            numbers = _element_numbers(observation, rating, event.ratings, element)
            yield observation.create_evidence("element_drop", share, element, **numbers)


def _element_numbers(
    observation: Observation, rating: ExpectedRating, ratings: dict[Element, float], element: Element
) -> dict[str, float]:
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
        is_known=True,
    )
    numbers = {"rating": value, "own": observation.before.client.ratings, **_expected_numbers(expected)}
    if (others_mean := value - rating.relative_ratings[element]) >= rating.expected.low:
        numbers["rest"] = others_mean
    return numbers


def _rating_numbers(observation: Observation, rating: ExpectedRating) -> dict[str, float]:
    """`own` is how many ratings of the same person the expectation rests on."""
    event, before = observation.event, observation.before
    is_client = isinstance(event, FeedbackSubmitted) and event.rater == "client"
    own = (before.client if is_client else before.clinician).ratings
    return {"rating": rating.value, "own": own, **_expected_numbers(rating.expected)}


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
    strength = _TENSION_STRENGTHS[tension_rank, talked_about.get("talked_about", _NOT_SAID_WEIGHS_AS)]
    habit = observation.before.client_tension if by_client else observation.before.clinician_tension
    if usual_tension_rate(habit.happened, habit.asked) > HABITUAL_TENSION_RATE:
        strength = observation.strength("tension")  # what is usual says only as much as it moves the probability
    yield observation.create_evidence(
        "told_directly",
        strength,
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
_TENSION_STRENGTHS = {(2, 0): 1.5, (2, 1): 1.2, (2, 2): 0.8, (1, 0): 1.1, (1, 1): 0.8, (1, 2): 0.5}
"""Strength by the degree of the tension, and by how far it was talked about."""


def at_floor(observation: Observation) -> Iterator[Evidence]:
    """An answer that is low in any relationship: each level once, from the first session on."""
    event, rating = observation.event, observation.rating
    if rating is None or not isinstance(event, FeedbackSubmitted) or event.rater != "client":
        return
    own = observation.before.client.ratings
    for name, level in floor.new_levels(observation.before.floor, rating.value, event.ratings):
        if name == floor.WHOLE:
            yield observation.create_evidence("at_floor", 1.0, rating=rating.value, level=level, own=own)
        else:
            element = next(element for element in components.ELEMENTS if element == name)
            numbers = {"rating": 10 * event.ratings[element], "level": 10 * level, "own": own}
            yield observation.create_evidence("at_floor", 1.0, element, **numbers)


def low_again(observation: Observation) -> Iterator[Evidence]:
    """A client's rating no higher than the one at which an episode opened that the clinician has resolved."""
    event, rating, level = observation.event, observation.rating, observation.before.resolved_level
    if not isinstance(event, FeedbackSubmitted) or event.rater != "client" or rating is None or level is None:
        return
    if is_low_again(observation.before, rating):
        yield observation.create_evidence("low_again", 1.0, rating=rating.value, level=level)


def is_low_again(before: Alliance, rating: ExpectedRating) -> bool:
    return before.resolved_level is not None and rating.value <= before.resolved_level + ROUNDING_ERROR_POINTS


def withdrawal(observation: Observation) -> Iterator[Evidence]:
    """Sessions missed, cancelled late or cut short, and unanswered forms, beyond what is usual in this relationship."""
    strength = observation.strength("absence")
    if strength <= 0:
        return
    numbers = withdrawal_numbers(observation.event, observation.session, observation.after.recent_sessions)
    yield observation.create_evidence("withdrawal", strength, **numbers)


def apart(observation: Observation) -> Iterator[Evidence]:
    """Client and clinician rated the same session differently, compared with their usual difference."""
    ratings, after = observation.session.both_ratings, observation.after
    if ratings is None or not observation.before.rater_gap.count:
        return
    before, now = observation.before.components[components.DIVERGENCE], after.components[components.DIVERGENCE]
    if now < max(after.components[components.WHOLE :]) or now <= before:
        return
    strength = (components.log_odds(now) - components.log_odds(before)) / observation.log_odds_to_concern
    client, clinician = ratings
    usual_gap = observation.before.rater_gap.mean
    yield observation.create_evidence("apart", strength, client=client, clinician=clinician, usual=usual_gap)


DIRECT_DETECTORS: tuple[Detector, ...] = (at_floor, low_again, told_directly)
"""Detectors for what is said in so many words or numbers; they need no probability."""
CLIENT_DETECTORS: tuple[Detector, ...] = (sudden_drop, sustained_slide, element_drop, apart)
"""Detectors for what moved the probability in a client's answer."""
CLINICIAN_DETECTORS: tuple[Detector, ...] = (clinician_drop, apart)
BEHAVIOUR_DETECTORS: tuple[Detector, ...] = (withdrawal,)
"""Detectors for what was missed, cancelled late or cut short, and for a form that lapsed."""


def stands_alone(sign: Evidence) -> bool:
    """Whether the sign is worth watching at any probability of a rupture.

    A clinician who reports a tension knows of it, so that only the client's report is. Absences in a row are,
    unless they are so usual for this client that they are no sign at all.
    """
    if sign.detector == "withdrawal":
        return absences_in_a_row(sign) >= MIN_ABSENCES_IN_A_ROW
    if sign.detector == "told_directly":
        return sign.strength >= 1 and sign.numbers.get("by_client") == 1
    return sign.detector in ("at_floor", "low_again")
