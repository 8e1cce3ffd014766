"""The stored alliance depends on which events there are, and on nothing else: not on their order, batches or repeats.

An amendment may be dated before its answer, because clocks differ; one id may come with two contents, because a
producer has a bug. Neither must make two services, or a service and its rebuild, disagree.
"""

import asyncio
from collections.abc import Sequence
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from shared.events import Event
from tests.unit.alliance.histories import BUILDER, contradictory_histories, histories


async def _publish_nothing(_events: Sequence[Event]) -> None:
    """Nobody listens."""


def stored_alliances(batches: Sequence[Sequence[HistoryEvent]]) -> dict[UUID, Alliance]:
    """The alliances that are stored after these batches."""
    store = InMemoryStore()
    projector = AllianceProjector(store, _publish_nothing, Policies(), Metrics(CollectorRegistry()))

    async def handle() -> None:
        for batch in batches:
            await projector.handle_batch(batch)

    asyncio.run(handle())
    return {relationship: state.alliance for relationship, state in store.states.items()}


def essence(alliance: Alliance) -> Alliance:
    """Of an erased client only the erasure; which event was the last is erased too."""
    return Alliance(erasure_id=alliance.erasure_id) if alliance.erasure_id else alliance


def assert_stored_as_folded(batches: Sequence[Sequence[HistoryEvent]], events: Sequence[HistoryEvent]) -> None:
    (stored,) = stored_alliances(batches).values()
    assert essence(stored) == essence(fold(events, DEFAULT_POLICY))


@st.composite
def deliveries(draw: st.DrawFn, events: Sequence[HistoryEvent]) -> list[list[HistoryEvent]]:
    """The events in any order and in any batches, some of them twice."""
    remaining = draw(st.permutations([*events, *draw(st.lists(st.sampled_from(events), max_size=4))]))
    batches = []
    while remaining:
        size = draw(st.integers(1, len(remaining)))
        batches.append(remaining[:size])
        remaining = remaining[size:]
    return batches


@given(events=histories(), data=st.data())
def test_an_amendment_counts_whatever_its_time_and_whenever_it_arrives(
    events: list[HistoryEvent], data: st.DataObject
) -> None:
    assert_stored_as_folded(data.draw(deliveries(events)), events)


@given(events=contradictory_histories(), data=st.data())
def test_of_several_contents_under_one_id_the_same_one_counts_in_any_order(
    events: list[HistoryEvent], data: st.DataObject
) -> None:
    assert_stored_as_folded(data.draw(deliveries(events)), events)
    assert fold(data.draw(st.permutations(events)), DEFAULT_POLICY) == fold(events, DEFAULT_POLICY)


def test_an_amendment_dated_before_its_answer_counts_in_any_order() -> None:
    start: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True), BUILDER.completed(0)]
    answer, amendment = BUILDER.feedback(0, 9), BUILDER.amended(0, 2, days_later=-0.01)

    orders: list[list[list[HistoryEvent]]] = [
        [start, [answer], [amendment]],
        [start, [amendment], [answer]],
        [[amendment], start, [answer]],
    ]
    for batches in orders:
        (alliance,) = stored_alliances(batches).values()
        assert alliance.client.last == 20


def test_of_two_contents_the_one_that_occurred_last_counts() -> None:
    start: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    first = BUILDER.feedback(0, 9)
    last = BUILDER.feedback(0, 2).model_copy(update={"occurred_at": BUILDER.at(0.9)})

    forwards: list[list[HistoryEvent]] = [start, [first], [last]]
    backwards: list[list[HistoryEvent]] = [start, [last], [first]]
    at_once: list[list[HistoryEvent]] = [[*start, last, first]]
    for batches in (forwards, backwards, at_once):
        (alliance,) = stored_alliances(batches).values()
        assert (alliance.client.last, alliance.client.ratings) == (20, 1)


def test_an_id_that_two_relationships_claim_belongs_to_the_one_that_occurred_last() -> None:
    other = UUID(int=4)
    first = BUILDER.completed(0)
    last = BUILDER.completed(1).model_copy(update={"id": first.id, "relationship_id": other})

    for batches in ([[first], [last]], [[last], [first]], [[first, last]]):
        alliances = stored_alliances(batches)
        assert (alliances[BUILDER.relationship_id].sessions, alliances[other].sessions) == (0, 1)
