"""Fitting a clinic's prior to its history, by moments, although nobody marked the ruptures in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import fmean, pvariance
from typing import get_args
from uuid import UUID

from services.alliance.domain.detection.rating import rating_of, relative_to_others
from services.alliance.domain.policy.policy import Prior, RatePrior, RatingPrior
from services.alliance.domain.state.history import HistoryEvent, apply_corrections, sort_events
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
MIN_OBSERVATIONS = 4  # ratings or appointments; a relationship with fewer is not used
MAX_SPREAD = 50.0  # points: no ratings of 0 to 100 vary more
MAX_WIDENING = 10.0  # the steepest that is valid
MIN_RELATIONSHIPS = 30  # usable relationships; with fewer nothing is fitted, because five figures depend on them


class InsufficientHistory(Exception):
    """The history is too small. The message says what is missing."""


@dataclass
class RelationshipSample:
    """What one relationship contributes: its ratings and lapses under consent, and its appointments."""

    client_ratings: list[float] = field(default_factory=list)
    clinician_ratings: list[float] = field(default_factory=list)
    relative_ratings: list[list[float]] = field(default_factory=list)
    """How far each element is above the mean of the others, for every form with all elements."""
    form_ratings: list[float] = field(default_factory=list)
    """The overall rating of each of these forms."""
    lapsed_sessions: set[UUID] = field(default_factory=set)
    """Sessions whose form did not arrive in time."""
    asked_sessions: set[UUID] = field(default_factory=set)
    missed_appointments: set[UUID] = field(default_factory=set)
    appointments: set[UUID] = field(default_factory=set)


def collect_sample(events: Iterable[HistoryEvent], late_hours: float) -> RelationshipSample:
    """The sample of one history; a cancellation later than `late_hours` before a session counts as missed."""
    sample, has_consent, answered = RelationshipSample(), False, set[tuple[UUID, str]]()
    for event in apply_corrections(sort_events(events)):
        match event:
            case SessionMissed(source_gap=True) | SessionCancelled(source_gap=True) | FeedbackLapsed(source_gap=True):
                pass  # nothing is learnt from it
            case ConsentGiven() | ConsentWithdrawn():
                has_consent = isinstance(event, ConsentGiven)
            case SessionCompleted() if has_consent:
                sample.appointments.add(event.session_id)
            case SessionMissed() if has_consent:
                sample.appointments.add(event.session_id)
                sample.missed_appointments.add(event.session_id)
            case SessionCancelled(by="client") if has_consent and event.notice_hours < late_hours:
                sample.appointments.add(event.session_id)
                sample.missed_appointments.add(event.session_id)
            case FeedbackLapsed(rater="client") if has_consent and (event.session_id, "client") not in answered:
                sample.lapsed_sessions.add(event.session_id)
                sample.asked_sessions.add(event.session_id)
            case FeedbackSubmitted() if has_consent and (event.session_id, event.rater) not in answered:
                answered.add((event.session_id, event.rater))
                _add_feedback(sample, event)
            case _:
                pass
    return sample


def fit_prior(samples: Sequence[RelationshipSample], previous: Prior) -> Prior:
    """The prior of a clinic with these samples; a part with too few data stays as in `previous`.

    Raises InsufficientHistory if there are too few client ratings.
    """
    usable = sum(len(sample.client_ratings) >= MIN_OBSERVATIONS for sample in samples)
    if usable < MIN_RELATIONSHIPS:
        raise InsufficientHistory(
            f"{usable} relationships have at least {MIN_OBSERVATIONS} client ratings; "
            f"fitting a prior needs {MIN_RELATIONSHIPS}"
        )
    client = _fit_rating_prior(
        [_as_single_ratings(sample.client_ratings) for sample in samples], [sample.client_ratings for sample in samples]
    )
    if client is None:
        raise InsufficientHistory("the clients' ratings never vary, so their usual variation cannot be estimated")
    return Prior(
        version=previous.version + 1,
        client=client,
        clinician=_fit_rating_prior(
            [_as_single_ratings(sample.clinician_ratings) for sample in samples],
            [sample.clinician_ratings for sample in samples],
        )
        or previous.clinician,
        element=_fit_rating_prior(
            [sample.relative_ratings for sample in samples], [sample.form_ratings for sample in samples]
        )
        or previous.element,
        silence=_fit_rate_prior([(len(sample.lapsed_sessions), len(sample.asked_sessions)) for sample in samples])
        or previous.silence,
        absence=_fit_rate_prior([(len(sample.missed_appointments), len(sample.appointments)) for sample in samples])
        or previous.absence,
    )


def _add_feedback(sample: RelationshipSample, event: FeedbackSubmitted) -> None:
    rating = rating_of(event)
    if event.rater == "clinician":
        if rating is not None:
            sample.clinician_ratings.append(rating)
        return
    sample.asked_sessions.add(event.session_id)
    if rating is None:
        return
    sample.client_ratings.append(rating)
    if len(event.ratings) == len(ELEMENTS):
        relative_ratings = relative_to_others(event)
        sample.relative_ratings.append([relative_ratings[element] for element in ELEMENTS])
        sample.form_ratings.append(rating)


def _as_single_ratings(ratings: Sequence[float]) -> list[list[float]]:
    return [[rating] for rating in ratings]


def _fit_rating_prior(
    ratings_by_relationship: Sequence[Sequence[Sequence[float]]], levels_by_relationship: Sequence[Sequence[float]]
) -> RatingPrior | None:
    """Fit to each relationship's ratings, one or more per form with a common spread; None with too few data."""
    means: list[float] = []
    variances_within: list[float] = []
    sampling_variances: list[float] = []
    distances_from_top: list[float] = []
    for ratings, level in zip(ratings_by_relationship, levels_by_relationship, strict=True):
        if (count := len(ratings)) < MIN_OBSERVATIONS:
            continue
        columns = list(zip(*ratings, strict=True))
        means += [fmean(column) for column in columns]
        variances_within.append(fmean(pvariance(column) for column in columns) * count / (count - 1))
        sampling_variances.append(variances_within[-1] / count)
        distances_from_top.append(100 - fmean(level))
    if len(variances_within) < MIN_RELATIONSHIPS or not any(variances_within):
        return None
    at_top, widening = _fit_line(distances_from_top, [sqrt(variance) for variance in variances_within])
    return RatingPrior(
        mean=_round(fmean(means)),
        varies=_round(sqrt(max(pvariance(means) - fmean(sampling_variances), 1.0))),
        spread=_round(max(sqrt(fmean(variances_within)), 0.1)),
        at_top=_round(at_top),
        widening=_round(max(0.0, widening)),
    )


def _fit_line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """The intercept and the slope of the least-squares line of spreads; a flat one if no spreads are on it."""
    x_mean, y_mean = fmean(x), fmean(y)
    x_squared_deviations = sum((x_value - x_mean) ** 2 for x_value in x)
    if x_squared_deviations < 1e-9:
        return y_mean, 0.0
    slope = (
        sum((x_value - x_mean) * (y_value - y_mean) for x_value, y_value in zip(x, y, strict=True))
        / x_squared_deviations
    )
    intercept = y_mean - slope * x_mean
    if abs(intercept) > MAX_SPREAD or slope > MAX_WIDENING:  # levels that hardly differ say nothing about a slope
        return y_mean, 0.0
    return intercept, slope


def _fit_rate_prior(counts: Iterable[tuple[int, int]]) -> RatePrior | None:
    """A beta distribution with the observed mean and variance between relationships; None with too few data."""
    usable = [(missed, asked) for missed, asked in counts if asked >= MIN_OBSERVATIONS]
    if len(usable) < MIN_RELATIONSHIPS:
        return None
    rates = [missed / asked for missed, asked in usable]
    mean = min(max(fmean(rates), 0.01), 0.9)
    sampling_variance = fmean(mean * (1 - mean) / asked for _, asked in usable)
    variance_between = max(pvariance(rates) - sampling_variance, 1e-4)
    pseudo_count = min(max(mean * (1 - mean) / variance_between - 1, 2.0), 50.0)
    return RatePrior(happened=_round(mean * pseudo_count), not_happened=_round((1 - mean) * pseudo_count))


def _round(number: float) -> float:
    """Round as in the policy file, so that the policy that was tried is the one that is written."""
    return round(number, 4) + 0.0  # turns -0 into 0
