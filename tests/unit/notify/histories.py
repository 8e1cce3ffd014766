"""Histories of one relationship as notify receives them, as hypothesis draws them, and the alerts after them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from typing import get_args
from uuid import UUID

from hypothesis import strategies as st

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, fold_alerts
from services.notify.domain.relationship import HistoryEvent, Relationship
from services.notify.domain.retention import is_named
from shared.events import EpisodeEndReason, RelationshipEvent, RuptureEvent, Severity
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
        if draw(st.booleans()):
            reason = draw(st.sampled_from(get_args(EpisodeEndReason)))
            events.append(s.ended_episode(version, reason, draw(severities), episode_numbers[1]))
        still_open = episode_numbers[2] if draw(st.booleans()) else None
        if still_open is not None:
            events.append(draw(st.sampled_from([s.suspected, s.changed]))(version, draw(severities), still_open))
        events.append(s.updated(version, still_open))
    for index, event in enumerate(events):
        if isinstance(event, RuptureEvent) and draw(st.booleans()):
            events[index] = event.model_copy(update={"retrospective": True})
    events += [s.consent_given(days_ago) for days_ago in draw(st.lists(st.sampled_from([90, 3, 2, 1]), max_size=2))]
    events += [s.consent_withdrawn(days_ago) for days_ago in draw(st.lists(st.sampled_from([4, 2, 1]), max_size=2))]
    return events


def alerts_after(*batches: Sequence[RelationshipEvent]) -> dict[UUID, Alert]:
    """The alerts after these batches, computed as the service does."""
    relationship = Relationship(relationship_id=batches[0][0].relationship_id)
    alerts: dict[UUID, Alert] = {}
    for batch in batches:
        relationship = reduce(relationships.evolve, (e for e in batch if isinstance(e, HistoryEvent)), relationship)
        rupture_events = [e for e in batch if isinstance(e, RuptureEvent)]
        named_ids = {RuptureBuilder.alert_id_of(e) for e in rupture_events}
        is_all_loaded = relationship.consent_withdrawn_at is not None
        loaded = {i: a for i, a in alerts.items() if a.is_active or is_named(a) or i in named_ids or is_all_loaded}
        alerts |= fold_alerts(loaded, rupture_events, relationship)
    return alerts


def only_alert_after(*batches: Sequence[RelationshipEvent]) -> Alert:
    (alert,) = alerts_after(*batches).values()
    return alert


@st.composite
def contradictory_histories(draw: st.DrawFn) -> list[RelationshipEvent]:
    """Histories in which some ids come with two contents, as after a bug in a producer."""
    s = RuptureBuilder(NOW, relationship_id=UUID(int=1), clinician_id=UUID(int=2))
    other = RuptureBuilder(NOW, relationship_id=UUID(int=1), clinician_id=UUID(int=3), case_code="ZZ-9")
    events = [*draw(histories()), s.ended()]
    contradictions: list[RelationshipEvent] = [
        other.started(),
        s.started().model_copy(update={"occurred_at": NOW - timedelta(days=1)}),
        s.ended().model_copy(update={"occurred_at": NOW - timedelta(days=1)}),
    ]
    contradictions += [
        s.reopened(),
        s.ended().model_copy(update={"correction": 1}),
        s.ended().model_copy(update={"correction": 2, "occurred_at": NOW - timedelta(hours=1)}),
        s.reinstated(3),
        s.cancelled(3).model_copy(update={"correction": 1}),
        s.reinstated(4, correction=2),
    ]
    for version in range(1, 6):
        severity, number = draw(st.sampled_from(SEVERITIES)), draw(st.integers(0, 2))
        contradictions += [
            s.suspected(version, severity, number, days_ago=1),
            s.repaired(version, severity, number),
            s.retracted(version, severity, number),
            s.updated(version, draw(st.sampled_from([None, number]))),
        ]
    return [*events, *draw(st.lists(st.sampled_from(contradictions), min_size=1, max_size=6))]
