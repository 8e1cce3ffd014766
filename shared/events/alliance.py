"""Events that alliance publishes: the current score, and the signs of rupture in it."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from shared.events.intake import EndReason
from shared.events.model import (
    MAX_INTEGER,
    Code,
    Direction,
    Element,
    Information,
    RelationshipEvent,
    Score,
    Severity,
    Standing,
    UtcDatetime,
)
from shared.events.topics import ALLIANCE, Topic
from shared.runtime.model import Model

Number = Annotated[float, Field(allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


EpisodeEndReason = Literal["level_shift", "superseded", "expired", "resolved"]
"""Why an episode ended that was neither repaired nor retracted."""
LevelShift = Literal["lower", "higher"]
"""Whether the ratings are lower or higher than they were usually."""


class Evidence(Model):
    """What one detector found: its name and the numbers behind it."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    detector: Code
    strength: float = Field(ge=0, allow_inf_nan=False)
    """How far beyond its threshold, as a ratio; 1 is just at it."""
    session_id: UUID | None = None
    occurred_at: UtcDatetime
    element: Element | None = None
    numbers: dict[Code, Number] = Field(default_factory=dict)


class AllianceEvent(RelationshipEvent):
    """An event derived from everything known about a relationship.

    It is published again whenever the history is refolded; the highest version is current.
    """

    TOPIC: ClassVar[Topic] = ALLIANCE

    version: int = Field(ge=1, le=MAX_INTEGER)
    """Counts the writes of the relationship's state."""


class AllianceUpdated(AllianceEvent):
    """The current alliance; it occurred with the last event that it is derived from."""

    type: Literal["clinic.alliance.updated.v1"] = "clinic.alliance.updated.v1"
    level: Score | None
    """The rolling score; null before the first rating."""
    low: Score | None
    high: Score | None
    """Four of five ratings are expected between `low` and `high`, judging by the relationship's own past."""
    elements: dict[Element, Score] = Field(default_factory=dict)
    sessions: int = Field(ge=0, le=MAX_INTEGER)
    ratings: int = Field(ge=0, le=MAX_INTEGER)
    open_episode_id: UUID | None = None
    """The open episode, if there is one; an open alert about any other episode is obsolete."""
    policy: Code
    """The hash of the thresholds in force."""
    standing: Standing | None = None
    since: UtcDatetime | None = None
    """Since when the standing has been the same."""
    trend: Direction | None = None
    """The direction of the last ratings; null while too little is known."""
    difference: Number | None = None
    """The client's rating less the clinician's, exponentially weighted; null before both have rated a session."""
    attendance: Ratio | None = None
    """The share of sessions that were held, of those that the client did not cancel in time."""
    response: Ratio | None = None
    """The share of feedback forms that the client answered, of those requested."""
    information: Information | None = None
    """How informative the client's ratings are."""
    outcome: Score | None = None
    """How the client fares, by an outcome questionnaire; kept apart from the level."""
    lower_since: UtcDatetime | None = None
    """Since when the ratings have been lower than they were, after an episode that was not repaired; null otherwise."""


class RuptureEvent(AllianceEvent):
    """Something that happened to one episode: signs of a rupture, from the first sign to the repair."""

    episode_id: UUID
    """Derived from the first sign, so that an alert is raised only once."""
    first_sign_at: UtcDatetime
    last_sign_at: UtcDatetime
    severity: Severity
    evidence: tuple[Evidence, ...] = Field(min_length=1)
    policy: Code
    recorded_at: UtcDatetime | None = None
    """When the last sign was recorded, if it was an answer; the answer was given then, or before."""
    probability: Ratio | None = None
    """The calibrated probability of a rupture at the strongest of its signs; null where the client reported a tension
    or rated at the floor, and in events of older versions."""
    base_rate: Ratio | None = None
    """What `probability` assumes: the share of relationships that have a rupture in sixteen sessions."""
    retrospective: bool = False
    """Whether a rebuild or a change of the rules found this in the history: no message is sent about it. It is false
    again as soon as a sign is added, and in events of older versions."""


class RuptureSuspected(RuptureEvent):
    """The relationship shows signs of rupture."""

    type: Literal["clinic.rupture.suspected.v1"] = "clinic.rupture.suspected.v1"


class RuptureChanged(RuptureEvent):
    """An open episode became more or less severe, or new signs were added to it."""

    type: Literal["clinic.rupture.changed.v1"] = "clinic.rupture.changed.v1"


class RuptureRepaired(RuptureEvent):
    """The ratings are back within the relationship's own range; it occurred with the rating that showed it."""

    type: Literal["clinic.rupture.repaired.v1"] = "clinic.rupture.repaired.v1"


class RuptureRetracted(RuptureEvent):
    """A correction, the end of the relationship or withdrawn consent removed the basis of the episode.

    The reason is `amended` for a corrected answer and for a corrected outcome of a session.
    """

    type: Literal["clinic.rupture.retracted.v1"] = "clinic.rupture.retracted.v1"
    reason: Literal["amended", "ended", "consent_withdrawn"]
    end_reason: EndReason | None = None
    """Why the relationship ended, if it did; older records lack it."""


class RuptureEnded(RuptureEvent):
    """An episode ended for another reason than a repair or a retraction; it occurred with what ended it.

    The reason is `level_shift` if the ratings stayed at another level for so long that this is usual now, `superseded`
    if a second rupture began, `expired` if there has been neither a sign nor a rating by the client for sixteen weeks,
    and `resolved` if the clinician resolved its alert. A later version may add a reason. A consumer that does not know
    it dead-letters the event and goes on, and the alliance at the same version no longer names the episode. So one
    release accepts a new reason before the next one publishes it.
    """

    type: Literal["clinic.rupture.ended.v1"] = "clinic.rupture.ended.v1"
    reason: EpisodeEndReason
    superseded_by: UUID | None = None
    """The next episode, if the reason is `superseded`."""
    shift: LevelShift | None = None
    """The direction, if the reason is `level_shift`."""
