"""Whether a relationship has ended, from its ends and their corrections in any order."""

from datetime import datetime
from typing import TypeAlias

from shared.events import RelationshipEnded, RelationshipReopened

KnownEnd: TypeAlias = tuple[int, datetime | None]
"""How often the end was corrected, and when the relationship ended; None while it goes on."""


def latest_end(known: KnownEnd, event: RelationshipEnded | RelationshipReopened) -> KnownEnd:
    """The highest correction counts; of several ends with one number, the one that occurred last."""
    said = (event.correction, event.occurred_at if isinstance(event, RelationshipEnded) else None)
    return max(known, said, key=lambda end: (end[0], end[1] is not None, end[1]))
