"""Histories of one relationship as notify receives them, as hypothesis draws them."""

from datetime import UTC, datetime
from uuid import UUID

from hypothesis import strategies as st

from shared.events import RelationshipEvent, Severity
from tests.support.rupture_builder import RuptureBuilder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
SEVERITIES: tuple[Severity, ...] = ("watch", "concern", "urgent")


@st.composite
def histories(draw: st.DrawFn) -> list[RelationshipEvent]:
    """What alliance publishes about a relationship at each version: closed episodes, the open one, then the update."""
    s = RuptureBuilder(NOW, relationship_id=UUID(int=1), clinician_id=UUID(int=2))
    events: list[RelationshipEvent] = [s.started(), s.scheduled(3), s.cancelled(3), s.scheduled(5, session=1)]
    for version in range(1, draw(st.integers(2, 6))):
        episode_numbers = draw(st.permutations(range(3)))
        severities = st.sampled_from(SEVERITIES)
        if draw(st.booleans()):
            events.append(s.retracted(version, draw(severities), episode_numbers[0]))
        if draw(st.booleans()):
            events.append(s.repaired(version, draw(severities), episode_numbers[1]))
        still_open = episode_numbers[2] if draw(st.booleans()) else None
        if still_open is not None:
            events.append(draw(st.sampled_from([s.suspected, s.changed]))(version, draw(severities), still_open))
        events.append(s.updated(version, still_open))
    return events
