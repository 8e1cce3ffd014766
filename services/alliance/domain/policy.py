"""The thresholds: from when on a sign counts, and how much."""

from functools import cached_property
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, Field

from shared.events import Severity


class Steps(BaseModel):
    """From which strength on evidence is of which severity; strength is the ratio to the detector's threshold."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    concern: float = Field(ge=1)
    urgent: float = Field(ge=1)

    def severity(self, strength: float) -> Severity:
        """How much evidence of `strength` matters; from 1 on it is at least worth watching."""
        if strength >= self.urgent:
            return "urgent"
        return "concern" if strength >= self.concern else "watch"


NEVER = 1e9


class Policy(BaseModel):
    """What counts as a sign of rupture. Scores and their differences are in points of 0 to 100."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # What is known before the first rating. Most clients rate near the top, and about three quarters of the
    # variance lies between relationships (Crits-Christoph 2011; Meier and Feeley 2022).
    prior_mean: float = 88.0
    prior_spread: float = 9.0

    drop_surprise: float = 2.6
    """A sudden drop is a rating this many predictive spreads below what was expected…"""
    drop_points: float = 8.0
    """…and at least this many points."""
    slide_surprise: float = 4.0
    """A slide is sustained when its accumulated surprise (CUSUM, allowance 0.5) reaches this."""
    low_level: float = 60.0
    """A rolling score below this is low, however usual it is."""
    element_points: float = 25.0
    """An element breaks away when it falls this much further than the others did."""
    apart_points: float = 25.0
    """Client and clinician are apart when their difference moves this far from their usual one."""
    withdrawal: float = 1.5
    """Missed sessions, late cancellations and silence, weighed, recent ones more (see `withdrawal`)."""
    late_hours: float = 24.0
    """A client who cancels later than this before a session cancels late."""
    repair_ratings: int = 2
    """An episode is repaired after this many ratings in a row within the relationship's own range."""

    steps: dict[str, Steps] = {
        "sudden_drop": Steps(concern=1.0, urgent=1.6),
        "sustained_slide": Steps(concern=1.0, urgent=2.5),
        "low_level": Steps(concern=1.4, urgent=NEVER),
        "element_drop": Steps(concern=1.6, urgent=NEVER),
        "told_directly": Steps(concern=1.2, urgent=NEVER),
        "withdrawal": Steps(concern=1.4, urgent=2.5),
        "apart": Steps(concern=1.8, urgent=NEVER),
    }

    @cached_property
    def digest(self) -> str:
        """Names these thresholds in every explanation."""
        return sha256(self.model_dump_json().encode()).hexdigest()[:12]


DEFAULT = Policy()
