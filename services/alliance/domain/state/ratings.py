"""What is remembered of ratings: what is usual, what was recent, and on which scale they were given."""

from dataclasses import dataclass, field
from datetime import datetime

from shared.events import Element


@dataclass(frozen=True)
class Series:
    """One person's ratings over time: what is usual, and what was recent."""

    ratings: int = 0
    """All ratings, including those inside an episode."""
    baseline_weight: float = 0
    """The number of ratings in the baseline, each weighted by how likely the relationship was calm."""
    baseline_total: float = 0.0
    """Their weighted sum."""
    rolling_score: float | None = None
    """The exponentially weighted mean, 0 to 100."""
    squared_deviations: float = 0.0
    """The weighted sum of the squared deviations of the baseline's ratings from their mean."""
    last: float | None = None
    last_at: datetime | None = None
    below_expected_streak: int = 0
    """How many ratings in a row were below what was expected."""
    constant_streak: int = 0
    """How many ratings in a row were the same as the one before."""
    recent_ratings: tuple[float, ...] = ()
    """The latest ratings, the newest last: as many as a trend needs."""

    @property
    def baseline_mean(self) -> float | None:
        """The usual level, not shrunk towards anything; None before there is a baseline."""
        return self.baseline_total / self.baseline_weight if self.baseline_weight else None


@dataclass(frozen=True)
class RatingGap:
    """The usual difference of one person's rating from the other's."""

    count: int = 0
    total: float = 0.0

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else 0.0


@dataclass(frozen=True)
class PairedRatings:
    """The two ratings of the same sessions: their recent difference, and whether they move together."""

    count: int = 0
    rolling_difference: float = 0.0
    """The client's rating minus the clinician's, exponentially weighted."""
    client_mean: float = 0.0
    clinician_mean: float = 0.0
    """The mean of each, over the sessions that both have rated."""
    client_squared_deviations: float = 0.0
    clinician_squared_deviations: float = 0.0
    deviation_products: float = 0.0
    """The sums of the squared deviations from these means, and of their products."""


@dataclass(frozen=True)
class ElementGaps:
    """The usual differences of the elements from each other, and how steady these are."""

    totals: dict[Element, float] = field(default_factory=dict)
    """The weighted sum of each element's differences from the others."""
    weight: float = 0
    """The number of forms, each weighted by how likely the relationship was calm."""
    weights: dict[Element, float] = field(default_factory=dict)
    """The weight of each element's own forms; empty while every form has the same elements, as nearly always."""
    squared_deviations: float = 0.0
    """The sum, over forms, of the mean squared deviation of the elements from their usual difference."""

    def weight_of(self, element: Element) -> float:
        """The number of forms that the element's total rests on, weighted likewise."""
        return self.weights.get(element, self.weight) if element in self.totals else 0.0


@dataclass(frozen=True)
class Scale:
    """What a client's answers are given on; only answers on the same scale are compared."""

    instrument: str | None = None
    """A published questionnaire; None for Attune's own eight elements."""
    language: str | None = None
    """The language of the form; None while it is not known."""

    @property
    def key(self) -> str:
        return f"{self.instrument or ''} {self.language or ''}"


@dataclass(frozen=True)
class ScaleBaseline:
    """What is usual on one scale."""

    client: Series
    element_gaps: ElementGaps
