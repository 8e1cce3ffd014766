"""The responses of the alliance API."""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx2
import pytest
from fastapi import FastAPI

from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies, Policy
from services.alliance.domain.presentation.trajectory import POINTS_PER_PAGE
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.http.api import routes
from services.alliance.service import AllianceService
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import VersionedState
from shared.http.problems import add_problem_handlers
from tests.support.builders import RelationshipBuilder


class ApiHarness:
    """The API on a store in memory."""

    def __init__(self, http: httpx2.AsyncClient, store: InMemoryStore) -> None:
        self._http = http
        self._store = store

    async def record(self, builder: RelationshipBuilder, *events: HistoryEvent) -> None:
        await self._store.append(events)
        await self._store.save([VersionedState(builder.relationship_id).advance(refold(events, DEFAULT_POLICY))])

    async def request(self, path: str) -> httpx2.Response:
        return await self._http.get(path)

    async def get(self, path: str) -> Any:
        response = await self.request(path)
        assert response.status_code == 200, response.text
        return response.json()


@asynccontextmanager
async def serve(store: InMemoryStore, policies: Policies) -> AsyncIterator[ApiHarness]:
    app = FastAPI()
    add_problem_handlers(app)
    app.include_router(routes(AllianceService(store, policies)))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://alliance") as http:
        yield ApiHarness(http, store)


@pytest.fixture
async def api() -> AsyncIterator[ApiHarness]:
    async with serve(InMemoryStore(), Policies()) as harness:
        yield harness


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
    assert view["explanation"].startswith("Shows signs of rupture. ")
    assert "after session 9: the client's rating fell to 4 of 10" in view["explanation"]
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


async def test_a_trajectory_comes_in_pages(api: ApiHarness) -> None:
    builder, predecessor = RelationshipBuilder(), RelationshipBuilder()
    await api.record(predecessor, *history_events(predecessor, [9] * (POINTS_PER_PAGE + 1)))
    await api.record(builder, *history_events(builder, [9, 8] * POINTS_PER_PAGE, predecessor=predecessor))
    path = f"/relationships/{builder.relationship_id}/trajectory?with_predecessors=true&page="

    pages = [await api.get(f"{path}{number}") for number in (1, 2, 3)]

    assert [(len(page["points"]), page["next_page"]) for page in pages] == [
        (POINTS_PER_PAGE, 2),
        (POINTS_PER_PAGE, None),
        (0, None),
    ]
    points = [point for page in pages for point in page["points"]]
    assert [point["session_id"] for point in points] == [str(builder.session_id(w)) for w in range(2 * POINTS_PER_PAGE)]
    assert [(len(p["points"]), p["next_page"]) for page in pages for p in page["predecessors"]] == [
        (POINTS_PER_PAGE, 2),
        (1, None),
        (0, None),
    ]


async def test_a_caseload_comes_in_pages_of_a_hundred(api: ApiHarness) -> None:
    builders = [RelationshipBuilder() for _ in range(230)]
    clinic_id, clinician_id = uuid4(), uuid4()
    for number, builder in enumerate(builders):
        started, *others = history_events(builder, [number * 10 / 230])
        owners = {"clinic_id": clinic_id, "clinician_id": clinician_id}
        await api.record(builder, started.model_copy(update=owners), *others)

    for path in (f"/clinics/{clinic_id}/relationships", f"/clinicians/{clinician_id}/relationships"):
        pages = [await api.get(path), *[await api.get(f"{path}?page={number}") for number in (2, 3, 4)]]

        assert [(len(page["relationships"]), page["next_page"]) for page in pages] == [
            (100, 2),
            (100, 3),
            (30, None),
            (0, None),
        ]
        listed = [view["relationship_id"] for page in pages for view in page["relationships"]]
        assert listed == [str(builder.relationship_id) for builder in builders], "the lowest score first"


@pytest.mark.parametrize("page", ["0", "-1", "x", "1_0", str(10**30)])
async def test_a_page_that_cannot_be_is_rejected(api: ApiHarness, page: str) -> None:
    for path in (f"/clinics/{uuid4()}/relationships", f"/relationships/{uuid4()}/trajectory"):
        assert (await api.request(f"{path}?page={page}")).status_code == 422


class SlowStore(InMemoryStore):
    """Returns histories only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.started = asyncio.Semaphore(0)
        self.may_return = asyncio.Event()

    async def history(self, relationships: Collection[UUID]) -> Mapping[UUID, list[HistoryEvent]]:
        self.started.release()
        await self.may_return.wait()
        return await super().history(relationships)


async def test_two_trajectories_are_computed_at_a_time_and_more_are_put_off() -> None:
    store = SlowStore()
    async with serve(store, Policies()) as api:
        builder = RelationshipBuilder()
        await api.record(builder, *history_events(builder, [9]))
        path = f"/relationships/{builder.relationship_id}/trajectory"
        running = [asyncio.create_task(api.get(path)) for _ in range(2)]
        for _ in running:
            await store.started.acquire()

        refused = await asyncio.wait_for(api.request(path), 10)
        store.may_return.set()
        trajectories = await asyncio.gather(*running)
        later = await api.request(path)

    assert (refused.status_code, refused.json()["type"]) == (503, "urn:attune:problem:busy")
    assert int(refused.headers["retry-after"]) >= 1
    assert [len(trajectory["points"]) for trajectory in trajectories] == [1, 1]
    assert later.status_code == 200


@dataclass(frozen=True, slots=True)
class SlowPolicies(Policies):
    """A policy that is found only when the test says so, as if a long history were folded."""

    started: threading.Event = field(default_factory=threading.Event)
    may_return: threading.Event = field(default_factory=threading.Event)

    def policy_for(self, clinic_id: UUID | None) -> Policy:
        self.started.set()
        assert self.may_return.wait(10)
        return DEFAULT_POLICY


async def test_other_requests_are_answered_while_a_trajectory_is_computed() -> None:
    policies = SlowPolicies()
    async with serve(InMemoryStore(), policies) as api:
        builder = RelationshipBuilder()
        await api.record(builder, *history_events(builder, [9]))
        computing = asyncio.create_task(api.get(f"/relationships/{builder.relationship_id}/trajectory"))
        await asyncio.to_thread(policies.started.wait, 10)

        meanwhile = await api.get(f"/clinics/{uuid4()}/relationships")
        assert not computing.done()
        policies.may_return.set()

        assert meanwhile["relationships"] == []
        assert len((await computing)["points"]) == 1
