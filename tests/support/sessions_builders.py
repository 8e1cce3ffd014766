"""A relationship and its sessions to begin with."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from services.sessions.domain.relationship import Relationship
from services.sessions.domain.session import Asking, Completed, Session, complete, schedule
from shared.events import Answer, Tension

TEN = datetime(2026, 3, 2, 10, tzinfo=UTC)
"""When the session begins."""
ELEVEN = TEN + timedelta(hours=1)
"""When it is over and looked at."""
WINDOW = timedelta(hours=72)
LINKS = Asking(link_hashes={"client": "c1", "clinician": "t1"}, window=WINDOW, grace=timedelta(0))
HELD = Completed(ended_at=TEN + timedelta(minutes=50), minutes=50)


def relationship(
    consent: bool = True, ended_at: datetime | None = None, relationship_id: UUID | None = None
) -> Relationship:
    return Relationship(
        relationship_id=relationship_id or uuid4(),
        started_at=TEN - timedelta(days=9),
        consent=consent,
        ended_at=ended_at,
    )


def planned(of: Relationship) -> Session:
    return schedule(None, uuid4(), of, TEN, 50, TEN - timedelta(days=7))[0]


def held(of: Relationship) -> Session:
    return complete(planned(of), of, HELD, ELEVEN, LINKS)[0]


def felt(rating: float = 8, tension: Tension | None = None) -> Answer:
    return Answer(ratings={"trust": rating}, tension=tension)
