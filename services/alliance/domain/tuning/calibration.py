"""What a clinic's history leads to expect of a relationship nothing is known of yet, and which thresholds suit it.

The prior is fitted by moments, from histories in which nobody has marked the ruptures.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, exp, log, sqrt
from statistics import fmean, pvariance
from typing import get_args
from uuid import UUID

from services.alliance.domain.detection.detectors import beside_the_others
from services.alliance.domain.detection.feedback import rating_of
from services.alliance.domain.policy.policy import Habit, Prior, Usual
from services.alliance.domain.state.history import Fact, as_amended, in_order
from shared.events import (
    ConsentGiven,
    ConsentWithdrawn,
    Element,
    FeedbackLapsed,
    FeedbackSubmitted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)

ELEMENTS: tuple[Element, ...] = get_args(Element)
ENOUGH = 4  # ratings or appointments from which on a relationship says something about the others
FEWEST = 30  # relationships that say something, below which nothing is fitted: five figures are read from them
LEAST_ALERTS = 5.0  # wished for in the whole history, below which no threshold can be told from chance
URGENT = 0.25  # of the alerts wished for may be urgent: of false alarms, the default policy makes as many so
HIGHEST = 0.9999  # threshold: with five decimals nobody can read it any more
TRIED = (0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Beliefs at which a history is replayed; between them it is interpolated."""


class TooLittle(Exception):
    """The history does not say enough; its text says what is missing."""


@dataclass
class Course:
    """What one relationship says of its clinic, consent given: every rating, and what was missed of what was asked."""

    client: list[float] = field(default_factory=list)
    clinician: list[float] = field(default_factory=list)
    elements: list[list[float]] = field(default_factory=list)
    """How far each lies above the mean of the others, of every form that holds all."""
    level: list[float] = field(default_factory=list)
    """The total of each of these forms."""
    silent: set[UUID] = field(default_factory=set)
    """Sessions whose form did not come in time."""
    asked: set[UUID] = field(default_factory=set)
    away: set[UUID] = field(default_factory=set)
    appointments: set[UUID] = field(default_factory=set)


def course(facts: Iterable[Fact], late_hours: float) -> Course:
    """What a history says; a client who cancels later than `late_hours` before a session stays away."""
    said, watched, answered = Course(), False, set[tuple[UUID, str]]()
    for fact in as_amended(in_order(facts)):
        match fact:
            case ConsentGiven() | ConsentWithdrawn():
                watched = isinstance(fact, ConsentGiven)
            case SessionCompleted():
                said.appointments.add(fact.session_id)
            case SessionMissed():
                said.appointments.add(fact.session_id)
                said.away.add(fact.session_id)
            case SessionCancelled(by="client") if fact.notice_hours < late_hours:
                said.appointments.add(fact.session_id)
                said.away.add(fact.session_id)
            case FeedbackLapsed(rater="client") if watched and (fact.session_id, "client") not in answered:
                said.silent.add(fact.session_id)
                said.asked.add(fact.session_id)
            case FeedbackSubmitted() if watched and (fact.session_id, fact.rater) not in answered:
                answered.add((fact.session_id, fact.rater))
                _listen(said, fact)
            case _:
                pass
    return said


def fit(courses: Sequence[Course], before: Prior) -> Prior:
    """The prior of a clinic with this history; what the history says too little of stays as it was before.

    Raises TooLittle where that is so of the clients' ratings.
    """
    enough = sum(len(c.client) >= ENOUGH for c in courses)
    if enough < FEWEST:
        raise TooLittle(
            f"{enough} relationships have {ENOUGH} ratings by the client or more, and it takes {FEWEST} to fit a prior"
        )
    client = _usual([_alone(c.client) for c in courses], [c.client for c in courses])
    if client is None:
        raise TooLittle("the clients' ratings never vary, so that nothing can be told of how much they usually do")
    return Prior(
        version=before.version + 1,
        client=client,
        clinician=_usual([_alone(c.clinician) for c in courses], [c.clinician for c in courses]) or before.clinician,
        element=_usual([c.elements for c in courses], [c.level for c in courses]) or before.element,
        silence=_habit([(len(c.silent), len(c.asked)) for c in courses]) or before.silence,
        absence=_habit([(len(c.away), len(c.appointments)) for c in courses]) or before.absence,
    )


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A threshold, and whether the wished number lies within what was tried."""

    threshold: float
    reached: bool


def suggest(alerts: Mapping[float, int], wished: float) -> Suggestion:
    """The lowest threshold that raises no more than `wished`, from how many `alerts` each one raised.

    More is never suggested where fewer are wished, though a history may raise more at a higher threshold by chance.
    """
    thresholds = sorted(alerts)
    most: dict[float, float] = {}
    for threshold in reversed(thresholds):
        above = [most[t] for t in thresholds if t in most]
        most[threshold] = max([float(alerts[threshold]), *above])
    if most[thresholds[0]] <= wished:
        return Suggestion(thresholds[0], most[thresholds[0]] == wished)
    for low, high in pairwise(thresholds):
        if most[high] <= wished:
            share = (most[low] - wished) / (most[low] - most[high])
            return Suggestion(_between(low, high, share), True)
    return Suggestion(thresholds[-1], False)


def urgent_from(peaks: Iterable[float], wished: float, concern: float) -> float:
    """The lowest threshold, not below `concern`, that no more than `wished` alerts with these peaks of belief reach."""
    highest = sorted(peaks, reverse=True)
    if int(wished) >= len(highest):
        return concern
    above = ceil((highest[int(wished)] + 1e-9) * 1e4) / 1e4
    return min(max(HIGHEST, concern), max(concern, above))


def _between(low: float, high: float, share: float) -> float:
    """So far from `low` to `high` as log-odds."""
    odds = log(low / (1 - low)) * (1 - share) + log(high / (1 - high)) * share
    return min(high, max(low, round(1 / (1 + exp(-odds)), 3)))


def _listen(said: Course, fact: FeedbackSubmitted) -> None:
    rating = rating_of(fact)
    if fact.rater == "clinician":
        if rating is not None:
            said.clinician.append(rating)
        return
    said.asked.add(fact.session_id)
    if rating is None:
        return
    said.client.append(rating)
    if len(fact.ratings) == len(ELEMENTS):
        said.elements.append([beside_the_others(fact, element) for element in ELEMENTS])
        said.level.append(rating)


def _alone(ratings: Sequence[float]) -> list[list[float]]:
    return [[rating] for rating in ratings]


def _usual(rated: Sequence[Sequence[Sequence[float]]], levels: Sequence[Sequence[float]]) -> Usual | None:
    """Of each relationship its ratings, one or more at once that share a spread; none where too little is known."""
    means: list[float] = []
    within: list[float] = []
    chance: list[float] = []
    below: list[float] = []
    for ratings, level in zip(rated, levels, strict=True):
        if (count := len(ratings)) < ENOUGH:
            continue
        each = list(zip(*ratings, strict=True))
        means += [fmean(one) for one in each]
        within.append(fmean(pvariance(one) for one in each) * count / (count - 1))
        chance.append(within[-1] / count)
        below.append(100 - fmean(level))
    if len(within) < FEWEST or not any(within):
        return None
    at_top, widening = _line(below, [sqrt(variance) for variance in within])
    return Usual(
        mean=_plain(fmean(means)),
        varies=_plain(sqrt(max(pvariance(means) - fmean(chance), 1.0))),
        spread=_plain(max(sqrt(fmean(within)), 0.1)),
        at_top=_plain(at_top),
        widening=_plain(max(0.0, widening)),
    )


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Where the line of least squares begins, and how it rises."""
    middle, height = fmean(x), fmean(y)
    width = sum((a - middle) ** 2 for a in x)
    if width < 1e-9:
        return height, 0.0
    slope = sum((a - middle) * (b - height) for a, b in zip(x, y, strict=True)) / width
    return height - slope * middle, slope


def _habit(counted: Iterable[tuple[int, int]]) -> Habit | None:
    """A beta distribution with the mean and the variance between relationships that were observed."""
    known = [(happened, asked) for happened, asked in counted if asked >= ENOUGH]
    if len(known) < FEWEST:
        return None
    shares = [happened / asked for happened, asked in known]
    mean = min(max(fmean(shares), 0.01), 0.9)
    chance = fmean(mean * (1 - mean) / asked for _, asked in known)
    between = max(pvariance(shares) - chance, 1e-4)
    weight = min(max(mean * (1 - mean) / between - 1, 2.0), 50.0)
    return Habit(happened=_plain(mean * weight), not_happened=_plain((1 - mean) * weight))


def _plain(number: float) -> float:
    """As it is written into a file, so that what was tried is what was written."""
    return round(number, 4) + 0.0  # which makes -0 a 0
