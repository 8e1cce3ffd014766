"""What alliance tells: the score as it is now, and the signs of rupture in it."""

from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from shared.events.model import (
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

Number = Annotated[float, Field(allow_inf_nan=False)]
Ratio = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class Evidence(BaseModel):
    """What one detector saw: its name and the numbers behind it."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    detector: Code
    strength: float = Field(ge=0, allow_inf_nan=False)
    """How far beyond its threshold, as a ratio; 1 is just at it."""
    session_id: UUID | None = None
    occurred_at: UtcDatetime
    element: Element | None = None
    numbers: dict[Code, Number] = Field(default_factory=dict)


class AllianceEvent(RelationshipEvent):
    """Something that follows from all that is known of a relationship.

    It is told again whenever the facts are read again; the highest version is what is so.
    """

    TOPIC: ClassVar[Topic] = ALLIANCE

    version: int = Field(ge=1)
    """Counts the writes of the relationship's state."""


class AllianceUpdated(AllianceEvent):
    """The alliance as it is now; it occurred with the last fact that it rests on."""

    type: Literal["clinic.alliance.updated.v1"] = "clinic.alliance.updated.v1"
    level: Score | None
    """The rolling score; none before the first rating."""
    low: Score | None
    high: Score | None
    """Between `low` and `high` lie four of five ratings that the relationship's own past leads to expect."""
    elements: dict[Element, Score] = Field(default_factory=dict)
    sessions: int = Field(ge=0)
    ratings: int = Field(ge=0)
    open_episode_id: UUID | None = None
    """The episode that is open; an open alert about any other one has nothing to rest on any more."""
    policy: Code
    """The hash of the thresholds in force."""
    standing: Standing | None = None
    since: UtcDatetime | None = None
    """Since when it has stood so."""
    trend: Direction | None = None
    """Where the last ratings have been going; none while too little is known."""
    difference: Number | None = None
    """The client's rating less the clinician's, exponentially weighted; none before both have rated a session."""
    attendance: Ratio | None = None
    """Of the sessions that the client did not call off in time, those held."""
    response: Ratio | None = None
    """Of the forms that the client was asked for, those answered."""
    information: Information | None = None
    """How much the client's ratings can tell."""
    outcome: Score | None = None
    """How the client fares, by a questionnaire about the outcome; kept apart from the level."""


class RuptureEvent(AllianceEvent):
    """Something about one episode: signs of a rupture, from the first of them to its repair."""

    episode_id: UUID
    """Follows from the first sign, so that an alert is raised once."""
    first_sign_at: UtcDatetime
    last_sign_at: UtcDatetime
    severity: Severity
    evidence: tuple[Evidence, ...] = Field(min_length=1)
    policy: Code
    recorded_at: UtcDatetime | None = None
    """When the last sign was recorded, where it was an answer; it was given then, or before."""


class RuptureSuspected(RuptureEvent):
    """The relationship shows signs of rupture."""

    type: Literal["clinic.rupture.suspected.v1"] = "clinic.rupture.suspected.v1"


class RuptureChanged(RuptureEvent):
    """An open episode became more or less severe, or new signs came to it."""

    type: Literal["clinic.rupture.changed.v1"] = "clinic.rupture.changed.v1"


class RuptureRepaired(RuptureEvent):
    """The ratings are back within the relationship's own range; it occurred with the rating that showed it."""

    type: Literal["clinic.rupture.repaired.v1"] = "clinic.rupture.repaired.v1"


class RuptureRetracted(RuptureEvent):
    """An amended answer, the end of the relationship or withdrawn consent took away what the episode rested on."""

    type: Literal["clinic.rupture.retracted.v1"] = "clinic.rupture.retracted.v1"
    reason: Literal["amended", "ended", "consent_withdrawn"]
