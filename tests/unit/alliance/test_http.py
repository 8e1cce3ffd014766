"""The responses of the alliance API."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.http.api import routes
from services.alliance.service import AllianceService
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import VersionedState
from tests.support.builders import RelationshipBuilder


class ApiHarness:
    """The API on a store in memory."""

    def __init__(self, http: httpx2.AsyncClient, store: InMemoryStore) -> None:
        self._http = http
        self._store = store

    async def record(self, builder: RelationshipBuilder, *events: HistoryEvent) -> None:
        await self._store.append(events)
        await self._store.save([VersionedState(builder.relationship_id).advance(refold(events, DEFAULT_POLICY))])

    async def get(self, path: str) -> Any:
        response = await self._http.get(path)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
async def api() -> AsyncIterator[ApiHarness]:
    store = InMemoryStore()
    app = FastAPI()
    app.include_router(routes(AllianceService(store, Policies())))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://alliance") as http:
        yield ApiHarness(http, store)


def history_events(
    builder: RelationshipBuilder, ratings: Sequence[float], predecessor: RelationshipBuilder | None = None
) -> list[HistoryEvent]:
    started = builder.started().model_copy(
        update={"predecessor_id": predecessor.relationship_id if predecessor else None}
    )
    weeks = [
        event
        for week, rating in enumerate(ratings)
        for event in (builder.completed(week), builder.feedback(week, rating))
    ]
    return [started, builder.consent_changed(-0.5, given=True), *weeks]


async def test_a_relationship_is_returned_with_its_summary_and_its_open_episode(api: ApiHarness) -> None:
    builder = RelationshipBuilder()
    await api.record(builder, *history_events(builder, [*[9.0] * 8, 4]))

    view = await api.get(f"/relationships/{builder.relationship_id}")

    assert (view["standing"], view["trend"]["direction"], view["trust"]["information"]) == (
        "concern",
        "falling",
        "good",
    )
    assert view["since"] == view["open_episode"]["first_sign_at"]
    assert view["explanation"].startswith("Shows signs of rupture. The client's rating fell to 40 after session 9")
    assert 1 <= len(view["open_episode"]["openings"]) <= 2


async def test_a_trajectory_includes_predecessors_on_request(api: ApiHarness) -> None:
    first, second, third = RelationshipBuilder(), RelationshipBuilder(), RelationshipBuilder()
    await api.record(first, *history_events(first, [9, 9]))
    await api.record(second, *history_events(second, [8], predecessor=first))
    await api.record(third, *history_events(third, [7, 7, 7], predecessor=second))

    alone = await api.get(f"/relationships/{third.relationship_id}/trajectory")
    whole = await api.get(f"/relationships/{third.relationship_id}/trajectory?with_predecessors=true")

    assert (len(alone["points"]), alone["predecessors"]) == (3, [])
    assert whole["points"] == alone["points"]
    assert [(p["relationship_id"], len(p["points"])) for p in whole["predecessors"]] == [
        (str(second.relationship_id), 1),
        (str(first.relationship_id), 2),
    ]


async def test_circular_and_dangling_transfers_are_followed_once(api: ApiHarness) -> None:
    one, other, orphan = RelationshipBuilder(), RelationshipBuilder(), RelationshipBuilder()
    await api.record(one, *history_events(one, [9], predecessor=other))
    await api.record(other, *history_events(other, [9], predecessor=one))
    await api.record(orphan, *history_events(orphan, [9], predecessor=RelationshipBuilder()))

    circle = await api.get(f"/relationships/{one.relationship_id}/trajectory?with_predecessors=true")
    nowhere = await api.get(f"/relationships/{orphan.relationship_id}/trajectory?with_predecessors=true")

    assert [p["relationship_id"] for p in circle["predecessors"]] == [str(other.relationship_id)]
    assert nowhere["predecessors"] == []


async def test_a_trajectory_contains_the_outcome_with_the_rating(api: ApiHarness) -> None:
    builder = RelationshipBuilder()
    await api.record(
        builder,
        builder.consent_changed(-0.5, given=True),
        builder.completed(0),
        builder.with_outcome(builder.feedback(0, 9), 20),
    )

    (point,) = (await api.get(f"/relationships/{builder.relationship_id}/trajectory"))["points"]

    assert (point["rating"], point["outcome"]) == (90, 50)
