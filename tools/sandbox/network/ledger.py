"""Everything that Attune acknowledged with a 2xx, and therefore must not lose."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.events import Rater


@dataclass(frozen=True)
class AcknowledgedRequest:
    """A request with a 2xx response."""

    method: str
    service: str
    path: str
    body: Mapping[str, Any]
    """The JSON or the form fields of the request."""
    response: Any
    """The JSON of the response; None if it was not JSON."""
    acknowledged_at: datetime


@dataclass
class Ledger:
    """What was acknowledged, by relationship and session, and how the requests ended."""

    started_relationships: dict[UUID, UUID] = field(default_factory=dict)
    """The clinic of each relationship."""
    held_sessions: dict[UUID, set[UUID]] = field(default_factory=dict)
    missed_sessions: dict[UUID, set[UUID]] = field(default_factory=dict)
    cancelled_sessions: dict[UUID, set[UUID]] = field(default_factory=dict)
    scores: dict[UUID, dict[tuple[UUID, Rater], float]] = field(default_factory=dict)
    """The score of each answer after its last correction."""
    unanswered_until: dict[UUID, dict[UUID, datetime]] = field(default_factory=dict)
    """Sessions that the client did not rate, and when the answer was due."""
    unanswered_clinics: dict[UUID, UUID] = field(default_factory=dict)
    """The clinic of each of these sessions."""
    requests: list[AcknowledgedRequest] = field(default_factory=list)
    """All acknowledged writes, in the order of their responses."""
    request_counts: Counter[str] = field(default_factory=Counter)
    """Attempts by outcome: accepted, retried."""
    failed_requests: list[str] = field(default_factory=list)
    """Valid requests that failed; the rest of their relationship was not submitted."""

    def last_unanswered_sessions(self) -> dict[UUID, UUID]:
        """The sessions whose answers are due last, the last one first, with their clinics; up to ten."""
        due_at = {session: due for sessions in self.unanswered_until.values() for session, due in sessions.items()}
        latest = sorted(due_at, key=due_at.__getitem__, reverse=True)[:10]
        return {session: self.unanswered_clinics[session] for session in latest}

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
