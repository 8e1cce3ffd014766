"""What Attune acknowledged with a 2xx: from then on it is Attune's to keep."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.events import Rater


@dataclass(frozen=True)
class AcknowledgedRequest:
    """A request that was answered with a 2xx."""

    method: str
    service: str
    path: str
    body: Mapping[str, Any]
    """What was sent, as JSON or as the fields of a form."""
    response: Any
    """What came back, where it was JSON."""
    acknowledged_at: datetime


@dataclass
class Ledger:
    """By relationship, then by session."""

    started_relationships: set[UUID] = field(default_factory=set)
    held_sessions: dict[UUID, set[UUID]] = field(default_factory=dict)
    missed_sessions: dict[UUID, set[UUID]] = field(default_factory=dict)
    cancelled_sessions: dict[UUID, set[UUID]] = field(default_factory=dict)
    scores: dict[UUID, dict[tuple[UUID, Rater], float]] = field(default_factory=dict)
    """The score of each answer, as it was last corrected."""
    unanswered_until: dict[UUID, dict[UUID, datetime]] = field(default_factory=dict)
    """Sessions whose client did not answer, and until when an answer was awaited."""
    requests: list[AcknowledgedRequest] = field(default_factory=list)
    """Every request that changes something, in the order of the answers."""
    request_counts: Counter[str] = field(default_factory=Counter)
    """Requests by what became of them: done, tried again."""
    failed_requests: list[str] = field(default_factory=list)
    """What should have been taken and was not; the rest of that relationship was not told of."""

    @property
    def session_count(self) -> int:
        return sum(
            len(ids)
            for sessions_by_relationship in (self.held_sessions, self.missed_sessions, self.cancelled_sessions)
            for ids in sessions_by_relationship.values()
        )

    @property
    def answer_count(self) -> int:
        return sum(map(len, self.scores.values()))
