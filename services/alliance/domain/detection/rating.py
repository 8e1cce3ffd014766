"""An answer as numbers, with what was expected of them in this relationship."""

from dataclasses import dataclass, field

from services.alliance.domain.detection.baseline import (
    Expectation,
    baseline_level,
    expect_rating,
    expect_relative,
)
from services.alliance.domain.policy.policy import Prior
from services.alliance.domain.state.alliance import Alliance
from shared.clinical.instruments import score
from shared.events import Element, FeedbackSubmitted

MIN_RELATIVE_ELEMENTS = 3  # fewer elements in one answer cannot be compared with each other


@dataclass(frozen=True, slots=True)
class ExpectedRating:
    """A rating and what was expected of it."""

    value: float
    """0 to 100."""
    expected: Expectation
    relative_ratings: dict[Element, float] = field(default_factory=dict)
    """How far each element is above the mean of the others, in points; empty if there are too few."""
    expected_relative: dict[Element, Expectation] = field(default_factory=dict)


def rating_of(event: FeedbackSubmitted) -> float | None:
    """The answer as a score from 0 to 100; None if it is the total of an unknown instrument."""
    if event.ratings:
        return 10 * sum(event.ratings.values()) / len(event.ratings)
    return score("alliance", event.instrument.name, event.instrument.total) if event.instrument else None


def relative_to_others(event: FeedbackSubmitted) -> dict[Element, float]:
    """How far each element is above the mean of the others, in points; at least two elements are needed."""
    total, others = sum(event.ratings.values()), len(event.ratings) - 1
    return {element: 10 * (rating - (total - rating) / others) for element, rating in sorted(event.ratings.items())}


def compare_client_rating(event: FeedbackSubmitted, before: Alliance, prior: Prior) -> ExpectedRating | None:
    """The rating as a whole, and its elements relative to each other; None if there is none that can be read."""
    rating = rating_of(event)
    if rating is None:
        return None
    expected = expect_rating(before.client, prior.client, event.occurred_at)
    if len(event.ratings) < MIN_RELATIVE_ELEMENTS:
        return ExpectedRating(rating, expected)
    relative_ratings = relative_to_others(event)
    level = baseline_level(before.client, prior.client)
    return ExpectedRating(
        rating,
        expected,
        relative_ratings,
        expect_relative(before.element_gaps, relative_ratings, prior.element, level),
    )


def compare_clinician_rating(event: FeedbackSubmitted, before: Alliance, prior: Prior) -> ExpectedRating | None:
    """The clinician's rating as a whole; None if there is none that can be read."""
    rating = rating_of(event)
    if rating is None:
        return None
    return ExpectedRating(rating, expect_rating(before.clinician, prior.clinician, event.occurred_at))
