"""The thresholds: from when on a sign counts, and how much; and what the clinic's history leads to expect."""

from functools import cached_property
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field

from shared.events import Severity


class _Given(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Usual(_Given):
    """One rater's ratings in this clinic, in points of 0 to 100."""

    mean: float
    varies: float = Field(gt=0)
    """Between relationships (standard deviation)."""
    spread: float = Field(gt=0)
    """Within one, on average."""
    at_top: float
    """Within one whose level is 100."""
    widening: float = Field(ge=0)
    """Per point below 100."""


class Habit(_Given):
    """How often something happens: what a relationship is expected to have seen before it began."""

    happened: float = Field(gt=0)
    not_happened: float = Field(gt=0)


class Prior(_Given):
    """What is known of a relationship before its first rating; refitted only on purpose, by `calibrate`.

    Most clients rate near the top, and about three quarters of the variance lies between relationships
    (Crits-Christoph 2011; Meier and Feeley 2022). The figures are those of the evaluation's ordinal world.
    """

    version: int = 1
    client: Usual = Usual(mean=88.5, varies=10.5, spread=6.2, at_top=3.6, widening=0.15)
    clinician: Usual = Usual(mean=87.5, varies=7.5, spread=6.3, at_top=3.8, widening=0.15)
    element: Usual = Usual(mean=0.0, varies=3.1, spread=4.8, at_top=3.3, widening=0.075)
    """How an element lies beside the others."""
    silence: Habit = Habit(happened=1.0, not_happened=5.0)
    absence: Habit = Habit(happened=1.0, not_happened=12.0)


class Policy(_Given):
    """What counts as a sign of rupture. Scores and their differences are in points of 0 to 100."""

    prior: Prior = Prior()

    concern: float = Field(0.55, gt=0.05, lt=1)
    """An episode is of concern from this belief on: one stable relationship in five is, once in sixteen sessions."""
    urgent: float = Field(0.90, gt=0.05, lt=1)
    """…and urgent from this one on: one in twenty."""
    low_level: float = 60.0
    """A rolling score that comes to lie below this is worth watching, however usual it is."""
    element_points: float = 25.0
    """An element is worth watching when it falls this much further than the others did…"""
    apart_points: float = 25.0
    """…client and clinician when their difference moves this far from their usual one…"""
    withdrawal: float = 1.5
    """…and missed sessions, late cancellations and silence when, weighed, they add up to this."""
    late_hours: float = 24.0
    """A client who cancels later than this before a session cancels late."""
    repair_ratings: int = 2
    """An episode is repaired after this many ratings in a row within the relationship's own range."""

    def severity(self, belief: float) -> Severity:
        """How much a sign matters where there is this belief that there is a rupture."""
        if belief >= self.urgent:
            return "urgent"
        return "concern" if belief >= self.concern else "watch"

    @cached_property
    def digest(self) -> str:
        """Names these thresholds in every explanation."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:12]


DEFAULT = Policy()
