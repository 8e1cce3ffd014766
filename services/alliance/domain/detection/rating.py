"""What a rating says about a rupture: it is compared with what was expected of it in this relationship."""

from dataclasses import dataclass, field

from services.alliance.domain.detection import probability
from services.alliance.domain.detection.baseline import (
    NO_GAP,
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


@dataclass(frozen=True)
class WeighedRating:
    """A rating, what was expected of it, and its weights for a rupture (see `probability`)."""

    value: float
    """0 to 100."""
    expected: Expectation
    weight: float
    """The weight of the rating as a whole."""
    element_weight: float | None = None
    """The weight of the hypothesis that a single element dropped; None while nothing is known of the elements."""
    relative_ratings: dict[Element, float] = field(default_factory=dict)
    """How far each element lies above the others, in points."""
    expected_relative: dict[Element, Expectation] = field(default_factory=dict)


def rating_of(event: FeedbackSubmitted) -> float | None:
    """The answer as a score from 0 to 100; None if it is the total of an unknown instrument."""
    if event.ratings:
        return 10 * sum(event.ratings.values()) / len(event.ratings)
    return score("alliance", event.instrument.name, event.instrument.total) if event.instrument else None


def relative_to_others(event: FeedbackSubmitted, element: Element) -> float:
    """How far an element is above the mean of the others, in points."""
    other_ratings = [rating for name, rating in event.ratings.items() if name != element]
    return 10 * (event.ratings[element] - sum(other_ratings) / len(other_ratings))


def weigh_client_rating(event: FeedbackSubmitted, before: Alliance, prior: Prior) -> WeighedRating | None:
    """Weigh the rating as a whole, and its elements relative to each other; None if there is none that can be read."""
    rating = rating_of(event)
    if rating is None:
        return None
    expected = expect_rating(before.client, prior.client, event.occurred_at)
    weight = probability.rating_weight(rating, expected) if before.client.baseline_count else 0.0
    if len(event.ratings) < MIN_RELATIVE_ELEMENTS:
        return WeighedRating(rating, expected, weight)
    gaps, level = before.element_gaps, baseline_level(before.client, prior.client)
    relative_ratings = {element: relative_to_others(event, element) for element in sorted(event.ratings)}
    expected_relative = expect_relative(gaps, relative_ratings, prior.element, level)
    element_weights = [
        probability.rating_weight(relative_rating, expected_relative[element])
        for element, relative_rating in relative_ratings.items()
        if gaps.elements.get(element, NO_GAP).count
    ]
    element_weight = probability.single_element_weight(element_weights) if element_weights else None
    return WeighedRating(rating, expected, weight, element_weight, relative_ratings, expected_relative)


def weigh_clinician_rating(event: FeedbackSubmitted, before: Alliance, prior: Prior) -> WeighedRating | None:
    """Weigh the rating as a whole; None if there is none that can be read."""
    rating = rating_of(event)
    if rating is None:
        return None
    expected = expect_rating(before.clinician, prior.clinician, event.occurred_at)
    if not before.clinician.baseline_count:
        return WeighedRating(rating, expected, 0.0)
    return WeighedRating(rating, expected, probability.clinician_weight(probability.rating_weight(rating, expected)))
