"""Fitting a clinic's prior to its history, and suggesting its thresholds.

The prior is fitted by moments, from histories in which the ruptures are not labelled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, exp, log, sqrt
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
MIN_RELATIONSHIPS = 30  # usable relationships; with fewer nothing is fitted, because five figures depend on them
MIN_ALERTS = 5.0  # target for the whole history; with fewer a threshold cannot be told from chance
MAX_URGENT_RATIO = 0.25  # of the target may be urgent: as large a share as the default policy has among false alarms
MAX_THRESHOLD = 0.9999  # more decimals would be unreadable
CANDIDATE_THRESHOLDS = (0.06, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
"""Thresholds at which a history is replayed; between them it is interpolated."""


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


@dataclass(frozen=True, slots=True)
class ThresholdSuggestion:
    """A threshold, and whether the target is within the range that was tried."""

    threshold: float
    is_reached: bool


def suggest_concern_threshold(alerts: Mapping[float, int], target_alerts: float) -> ThresholdSuggestion:
    """The lowest threshold that raises no more than `target_alerts`, given how many `alerts` each one raised.

    A lower target never gives a lower threshold, although a higher threshold may raise more alerts by chance.
    """
    thresholds = sorted(alerts)
    max_alerts: dict[float, float] = {}
    for threshold in reversed(thresholds):
        higher = [max_alerts[other] for other in thresholds if other in max_alerts]
        max_alerts[threshold] = max([float(alerts[threshold]), *higher])
    if max_alerts[thresholds[0]] <= target_alerts:
        return ThresholdSuggestion(thresholds[0], max_alerts[thresholds[0]] == target_alerts)
    for low, high in pairwise(thresholds):
        if max_alerts[high] <= target_alerts:
            fraction = (max_alerts[low] - target_alerts) / (max_alerts[low] - max_alerts[high])
            return ThresholdSuggestion(_interpolate_log_odds(low, high, fraction), True)
    return ThresholdSuggestion(thresholds[-1], False)


def suggest_urgent_threshold(peaks: Iterable[float], target_alerts: float, concern: float) -> float:
    """The lowest threshold, not below `concern`, that at most `target_alerts` of these peak probabilities reach."""
    descending_peaks = sorted(peaks, reverse=True)
    if int(target_alerts) >= len(descending_peaks):
        return concern
    above = ceil((descending_peaks[int(target_alerts)] + 1e-9) * 1e4) / 1e4
    return min(max(MAX_THRESHOLD, concern), max(concern, above))


def _interpolate_log_odds(low: float, high: float, fraction: float) -> float:
    """The point at `fraction` between `low` and `high`, on the scale of log-odds."""
    log_odds = log(low / (1 - low)) * (1 - fraction) + log(high / (1 - high)) * fraction
    return min(high, max(low, round(1 / (1 + exp(-log_odds)), 3)))


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
        sample.relative_ratings.append([relative_to_others(event, element) for element in ELEMENTS])
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
    """The intercept and the slope of the least-squares line."""
    x_mean, y_mean = fmean(x), fmean(y)
    x_squared_deviations = sum((x_value - x_mean) ** 2 for x_value in x)
    if x_squared_deviations < 1e-9:
        return y_mean, 0.0
    slope = (
        sum((x_value - x_mean) * (y_value - y_mean) for x_value, y_value in zip(x, y, strict=True))
        / x_squared_deviations
    )
    return y_mean - slope * x_mean, slope


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
