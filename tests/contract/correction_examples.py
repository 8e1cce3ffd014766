"""Examples of events that correct what was recorded by mistake, with all fields."""

from datetime import UTC, datetime
from uuid import UUID

from shared.events import Event, RelationshipEnded, RelationshipReopened, SessionMissed, SessionReinstated

_RELATIONSHIP, _SESSION = UUID(int=1), UUID(int=2)
_AT = datetime(2026, 1, 8, 10, tzinfo=UTC)

CORRECTION_EXAMPLES: tuple[Event, ...] = (
    SessionMissed(
        id=UUID(int=3),
        occurred_at=_AT,
        relationship_id=_RELATIONSHIP,
        session_id=_SESSION,
        correction=1,
        recorded_at=_AT,
        source_gap=True,
    ),
    SessionReinstated(
        id=UUID(int=4),
        occurred_at=_AT,
        relationship_id=_RELATIONSHIP,
        session_id=_SESSION,
        starts_at=_AT,
        minutes=50,
        correction=2,
        recorded_at=_AT,
    ),
    RelationshipEnded(
        id=UUID(int=5),
        occurred_at=_AT,
        relationship_id=_RELATIONSHIP,
        reason="completed",
        correction=1,
        recorded_at=_AT,
    ),
    RelationshipReopened(id=UUID(int=6), occurred_at=_AT, relationship_id=_RELATIONSHIP, correction=2),
)
