"""What is answered about alliances."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from services.alliance.domain.fold import read_again
from services.alliance.domain.policy.policy import DEFAULT, Policies
from services.alliance.domain.state.history import Fact
from services.alliance.http.api import routes
from services.alliance.store.mongo import Kept
from tests.support.builders import Told
from tests.support.fakes import AllianceStore


class World:
    """A store, and what is answered out of it."""

    def __init__(self, http: httpx2.AsyncClient, store: AllianceStore) -> None:
        self._http = http
        self._store = store

    async def tell(self, told: Told, *facts: Fact) -> None:
        await self._store.remember(facts)
        await self._store.keep([Kept(told.relationship).followed_by(read_again(facts, DEFAULT))])

    async def get(self, path: str) -> Any:
        response = await self._http.get(path)
        assert response.status_code == 200, response.text
        return response.json()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = AllianceStore()
    app = FastAPI()
    app.include_router(routes(store, Policies()))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://alliance") as http:
        yield World(http, store)


def life(told: Told, ratings: Sequence[float], before: Told | None = None) -> list[Fact]:
    started = told.started().model_copy(update={"predecessor_id": before.relationship if before else None})
    weeks = [event for week, rating in enumerate(ratings) for event in (told.held(week), told.felt(week, rating))]
    return [started, told.consent(-0.5, given=True), *weeks]


async def test_a_relationship_is_answered_with_all_that_is_told_of_it(world: World) -> None:
    builder = Told()
    await world.tell(builder, *life(builder, [*[9.0] * 8, 4]))

    view = await world.get(f"/relationships/{builder.relationship}")

    assert (view["standing"], view["trend"]["direction"], view["trust"]["information"]) == (
        "concern",
        "falling",
        "good",
    )
    assert view["since"] == view["open_episode"]["first_sign_at"]
    assert view["explanation"].startswith("Shows signs of rupture. The client's rating fell to 40 after session 9")
    assert 1 <= len(view["open_episode"]["openings"]) <= 2


async def test_after_a_transfer_the_history_before_is_shown_when_asked_for(world: World) -> None:
    first, second, third = Told(), Told(), Told()
    await world.tell(first, *life(first, [9, 9]))
    await world.tell(second, *life(second, [8], before=first))
    await world.tell(third, *life(third, [7, 7, 7], before=second))

    alone = await world.get(f"/relationships/{third.relationship}/trajectory")
    whole = await world.get(f"/relationships/{third.relationship}/trajectory?with_predecessors=true")

    assert (len(alone["points"]), alone["predecessors"]) == (3, [])
    assert whole["points"] == alone["points"]
    assert [(p["relationship_id"], len(p["points"])) for p in whole["predecessors"]] == [
        (str(second.relationship), 1),
        (str(first.relationship), 2),
    ]


async def test_transfers_that_lead_in_a_circle_or_to_nowhere_are_followed_once(world: World) -> None:
    one, other, orphan = Told(), Told(), Told()
    await world.tell(one, *life(one, [9], before=other))
    await world.tell(other, *life(other, [9], before=one))
    await world.tell(orphan, *life(orphan, [9], before=Told()))

    circle = await world.get(f"/relationships/{one.relationship}/trajectory?with_predecessors=true")
    nowhere = await world.get(f"/relationships/{orphan.relationship}/trajectory?with_predecessors=true")

    assert [p["relationship_id"] for p in circle["predecessors"]] == [str(other.relationship)]
    assert nowhere["predecessors"] == []


async def test_a_trajectory_shows_how_the_client_fares_beside_the_rating(world: World) -> None:
    builder = Told()
    await world.tell(
        builder, builder.consent(-0.5, given=True), builder.held(0), builder.faring(builder.felt(0, 9), 20)
    )

    (point,) = (await world.get(f"/relationships/{builder.relationship}/trajectory"))["points"]

    assert (point["rating"], point["outcome"]) == (90, 50)
