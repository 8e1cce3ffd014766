"""The thresholds of a policy, and its prior: what to expect of a relationship before its first rating.

`services/alliance/policies/default.toml` explains every key; the ranges here are the valid ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Self
from uuid import UUID

from pydantic import ConfigDict, Field, model_validator

from shared.events import Severity
from shared.runtime.model import Model

Points = Annotated[float, Field(ge=-100, le=100)]
Spread = Annotated[float, Field(ge=0.01, le=100)]
Probability = Annotated[float, Field(gt=0, lt=1)]
BaseRate = Annotated[float, Field(ge=0.01, le=0.5)]
PseudoCount = Annotated[float, Field(gt=0, le=1000)]

FOLD_REVISION = 6
"""Raise it with a change after which the same events give another alliance, whatever the thresholds.

A state of before is then folded again at its next event, and `rebuild` folds all of them again at once.
"""


class _PolicyModel(Model):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class RatingPrior(_PolicyModel):
    """One rater's ratings in this clinic, in points of 0 to 100."""

    mean: Points
    varies: Spread
    """Standard deviation between relationships."""
    spread: Spread
    """Standard deviation within one relationship, on average."""
    at_top: Points
    """Standard deviation within a relationship at level 100."""
    widening: float = Field(ge=0, le=10)
    """Increase of the spread for each point below 100."""


class RatePrior(_PolicyModel):
    """How often something happens, as the counts that a new relationship starts with."""

    happened: PseudoCount
    not_happened: PseudoCount


class Prior(_PolicyModel):
    """What is expected of a relationship before its first rating; only the command `calibrate` refits it.

    Most clients rate near the top, and about three quarters of the variance is between relationships
    (Crits-Christoph 2011; Meier and Feeley 2022). The figures are those of the evaluation's ordinal world.
    """

    version: int = Field(1, ge=1)
    client: RatingPrior = RatingPrior(mean=86.0, varies=25.0, spread=7.0, at_top=5.2, widening=0.09)
    clinician: RatingPrior = RatingPrior(mean=85.0, varies=9.0, spread=6.5, at_top=5.2, widening=0.06)
    element: RatingPrior = RatingPrior(mean=0.0, varies=4.1, spread=5.2, at_top=3.9, widening=0.085)
    """How far an element is above the mean of the others."""
    silence: RatePrior = RatePrior(happened=0.6, not_happened=2.4)
    absence: RatePrior = RatePrior(happened=0.6, not_happened=7.0)


class Policy(_PolicyModel):
    """What counts as a sign of rupture. Scores and their differences are in points of 0 to 100."""

    prior: Prior = Prior()

    base_rate: BaseRate = 0.15
    """The share of relationships with a rupture in sixteen sessions that probabilities are stated for."""
    watch: Probability = 0.12
    """Probability from which an episode is worth watching: it is shown, and causes no message."""
    concern: Probability = 0.17
    """Probability from which an episode is of concern: false in 1 of 5 stable relationships, over sixteen sessions."""
    urgent: Probability = 0.27
    """Probability from which an episode is urgent."""
    late_hours: float = Field(24.0, ge=0, le=720)
    """A client who cancels later than this before a session cancels late."""
    repair_ratings: int = Field(2, ge=1, le=20)
    """An episode is repaired after this many ratings in a row within the relationship's own range."""

    @model_validator(mode="after")
    def _validate_urgent(self) -> Self:
        if self.urgent < self.concern:
            raise ValueError(f"urgent ({self.urgent}) must not be less than concern ({self.concern})")
        if self.concern < self.watch:
            raise ValueError(f"concern ({self.concern}) must not be less than watch ({self.watch})")
        return self

    def severity(self, probability: float) -> Severity:
        """The severity of an episode at this probability of a rupture."""
        if probability >= self.urgent:
            return "urgent"
        return "concern" if probability >= self.concern else "watch"

    @cached_property
    def digest(self) -> str:
        """Identifies this policy, and the rules of this release, in events, documents and reports."""
        return sha256(f"{FOLD_REVISION} {self.model_dump_json()}".encode()).hexdigest()[:12]


DEFAULT_POLICY = Policy()


@dataclass(frozen=True, slots=True)
class Policies:
    """The policy of each clinic."""

    default: Policy = DEFAULT_POLICY
    """For clinics without a policy of their own, and for relationships whose clinic is not known yet."""
    by_clinic: Mapping[UUID, Policy] = field(default_factory=dict)

    def policy_for(self, clinic_id: UUID | None) -> Policy:
        return self.default if clinic_id is None else self.by_clinic.get(clinic_id, self.default)

    @property
    def digest(self) -> str:
        """Identifies all of them together."""
        clinic_digests = sorted((str(clinic), policy.digest) for clinic, policy in self.by_clinic.items())
        return sha256(repr((self.default.digest, clinic_digests)).encode()).hexdigest()[:12]
