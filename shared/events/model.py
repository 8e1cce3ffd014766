"""What every event has in common, and the types of its fields."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Literal, TypeVar
from uuid import UUID, uuid5

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, ConfigDict, Field, StringConstraints

from shared.events.topics import Topic
from shared.runtime.model import Model

FIRST_YEAR, LAST_YEAR = 1900, 2200
"""A year outside is a typing error, and would overflow where durations are added."""
_OUTSIDE_YEARS = f"is outside the years {FIRST_YEAR} to {LAST_YEAR}"
MAX_INTEGER = 2**63 - 1
"""The largest integer that MongoDB stores."""


def _require_datetime_text(value: object) -> object:
    """Rejects numbers: 20261110 would be read as seconds, and be a day in 1970."""
    if isinstance(value, datetime) or (isinstance(value, str) and not value.replace(".", "").lstrip("+-").isdecimal()):
        return value
    raise ValueError("is not a date and time with time zone, such as 2026-01-31T09:00:00+01:00")


def _to_utc_milliseconds(moment: datetime) -> datetime:
    """In UTC first: the year may be another one there, and what is valid once must be valid when it is read again."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise ValueError(_OUTSIDE_YEARS) from None
    if not FIRST_YEAR < moment.year < LAST_YEAR:
        raise ValueError(_OUTSIDE_YEARS)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


UtcDatetime = Annotated[AwareDatetime, BeforeValidator(_require_datetime_text), AfterValidator(_to_utc_milliseconds)]
"""A time with time zone, converted to UTC and truncated to milliseconds, the precision of MongoDB."""

Rating = Annotated[float, Field(strict=True, ge=0, le=10, allow_inf_nan=False)]
"""How one element felt, from 0 (not at all) to 10 (fully)."""

Score = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
"""Strength of the working relationship, from 0 to 100."""

CaseCode = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9][A-Z0-9-]{1,15}$")]
"""The pseudonym a clinic chose for a client; capitals, digits and hyphens only, so that no name fits by accident."""

Code = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")]
"""A word from a list, never a sentence."""

Language = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$")]
"""A BCP 47 tag of a language, perhaps with a script and a region, such as `de`, `en-GB` or `zh-Hant-TW`."""

Element = Literal["trust", "respect", "collaboration", "non_judgment", "guidance", "common_aim", "commitment", "fit"]
Rater = Literal["client", "clinician"]
Tension = Literal["none", "a_little", "yes"]
TalkedAbout = Literal["not", "partly", "yes"]
CollectedBy = Literal["form", "desk", "system"]
"""How an answer came: by the form behind its link, entered at the clinic's desk, or from another system."""
Count = Annotated[int, Field(strict=True)]
"""A whole number, written as one: `true` is not accepted as 1."""

Correction = Annotated[Count, Field(ge=0, le=MAX_INTEGER)]
"""How often something was corrected; 0 as it was first recorded."""

Severity = Literal["watch", "concern", "urgent"]
SEVERITY_RANK: Mapping[Severity, int] = {"watch": 0, "concern": 1, "urgent": 2}
"""The order of severities; the higher rank is the more severe."""
Standing = Literal["unknown", "unwatched", "calm", "watch", "concern", "urgent", "ended"]
"""How a relationship stands: not enough known, no consent, no signs, signs of this severity, or ended."""
Direction = Literal["falling", "steady", "rising"]
Information = Literal["none", "little", "some", "good"]
"""How informative ratings are; ratings that never vary say little."""


class Event(Model):
    """Something that happened. It never changes, and is retained forever."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)

    TOPIC: ClassVar[Topic]
    KEY: ClassVar[str]
    """The field whose value keys the event: events with the same key are published in order."""

    id: UUID
    occurred_at: UtcDatetime

    @property
    def key(self) -> UUID:
        """What the event is about; events with the same key are in the same partition."""
        key: UUID = getattr(self, self.KEY)
        return key

    @classmethod
    def event_type(cls) -> str:
        """The CloudEvents type, for instance `clinic.session.completed.v1`."""
        event_type: str = cls.model_fields["type"].default
        return event_type

    def derive_id(self, name: str) -> UUID:
        """The id of an event derived from this one; the same each time."""
        return uuid5(self.id, name)


EventT = TypeVar("EventT", bound=Event)


class RelationshipEvent(Event):
    """Something that happened in one relationship between a clinician and a client."""

    KEY: ClassVar[str] = "relationship_id"

    relationship_id: UUID


class ClinicEvent(Event):
    """Something that happened to one clinic."""

    KEY: ClassVar[str] = "clinic_id"

    clinic_id: UUID


class ClinicianEvent(Event):
    """Something that happened to one clinician."""

    KEY: ClassVar[str] = "clinician_id"

    clinician_id: UUID
