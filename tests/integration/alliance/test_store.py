"""What a store is; the one in memory and MongoDB with either driver all keep to it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Literal, cast
from uuid import uuid4

import pytest

from services.alliance.domain.fold import Read, fold
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.dispositions import Judgement
from services.alliance.store.mongo import Kept, MongoStore, Store
from shared.mongo.client import Mongo
from tests.support.builders import BEGINNING, Told
from tests.support.fakes import AllianceStore


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    if request.param == "memory":
        yield AllianceStore()
        return
    uri: str = request.getfixturevalue("mongodb_uri")
    mongo = Mongo(uri, f"test_{uuid4().hex}", cast("Literal['motor', 'pymongo']", request.param))
    mongo_store = MongoStore(mongo)
    await mongo_store.prepare()
    yield mongo_store
    await mongo.close()


async def test_a_fact_is_kept_once_however_often_it_comes(store: Store) -> None:
    builder = Told()
    events: list[Fact] = [builder.started(), builder.held(0), builder.felt(0)]

    await store.remember(events)
    await store.remember([events[2], events[1], events[1]])

    history = (await store.history([builder.relationship]))[builder.relationship]
    assert sorted(event.id for event in history) == sorted(event.id for event in events)
    assert fold(history, DEFAULT) == fold(events, DEFAULT)


async def test_an_alliance_comes_back_as_it_was_kept(store: Store) -> None:
    builder = Told()
    events: list[Fact] = [
        builder.started(),
        *(event for week in range(9) for event in (builder.held(week), builder.felt(week, 9 if week < 8 else 3))),
    ]
    events += [
        builder.felt(8, 7, "clinician", tension="yes", talked_about="not"),
        builder.missed(9),
        builder.amended(3, 8),
    ]
    alliance = fold(events, DEFAULT)

    await store.keep([Kept(builder.relationship).followed_by(Read(alliance))])

    assert (await store.recall([builder.relationship]))[builder.relationship] == Kept(
        builder.relationship, Read(alliance), 1
    )


async def test_an_unknown_relationship_is_a_new_one(store: Store) -> None:
    relationship = uuid4()

    assert (await store.recall([relationship]))[relationship] == Kept(relationship, Read(Alliance()), 0)
    assert await store.history([relationship]) == {relationship: []}


async def test_a_write_over_another_version_is_lost_and_named(store: Store) -> None:
    first, second = Kept(uuid4()), Kept(uuid4())
    alliance = Alliance(sessions=1)
    await store.keep([first.followed_by(Read(alliance))])

    conflicts = await store.keep([first.followed_by(Read(Alliance(sessions=7))), second.followed_by(Read(alliance))])

    loaded = await store.recall([first.relationship, second.relationship])
    assert conflicts == {first.relationship}
    assert [state.alliance.sessions for state in loaded.values()] == [1, 1]


async def test_of_many_who_write_at_once_each_gets_a_turn_and_none_is_overwritten(store: Store) -> None:
    """Ten writers each add one session to the same relationship until their own is in."""
    builder = Told()

    async def add_one() -> None:
        while True:
            loaded = (await store.recall([builder.relationship]))[builder.relationship]
            updated = Alliance(sessions=loaded.alliance.sessions + 1)
            if not await store.keep([loaded.followed_by(Read(updated))]):
                return
            await asyncio.sleep(0)

    await asyncio.gather(*(add_one() for _ in range(10)))

    loaded = (await store.recall([builder.relationship]))[builder.relationship]
    assert (loaded.version, loaded.alliance.sessions) == (10, 10)


async def test_a_judgement_is_kept_as_it_came_first(store: Store) -> None:
    first = Judgement(uuid4(), uuid4(), uuid4(), BEGINNING, True, ("apart", "sudden_drop"), "0123456789ab")
    second = Judgement(uuid4(), first.relationship, uuid4(), BEGINNING, None)

    assert await store.judge([first]) == [first]
    assert await store.judge([replace(first, useful=False), second, second]) == [second]
    assert await store.judge([]) == []

    stored = await store.judgements([first.relationship, uuid4()])
    assert sorted(stored, key=str) == sorted([first, second], key=str)


async def test_of_a_client_who_is_forgotten_no_judgement_is_kept(store: Store) -> None:
    erased, remaining = (Judgement(uuid4(), uuid4(), uuid4(), BEGINNING, True) for _ in range(2))
    await store.judge([erased, remaining])

    await store.forget({erased.relationship: uuid4()})

    assert await store.judgements([erased.relationship, remaining.relationship]) == [remaining]


async def test_relationships_are_read_a_page_at_a_time_each_once(store: Store) -> None:
    builders = [Told() for _ in range(7)]
    await store.keep(
        [Kept(builder.relationship).followed_by(Read(fold([builder.started()], DEFAULT))) for builder in builders]
    )
    clinic = builders[0].started().clinic_id

    pages, after = [], None
    while page := await store.page(None, after, 3):
        pages.append(page)
        after = page[-1]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert {r for page in pages for r in page} == {builder.relationship for builder in builders}
    assert (await store.count(None), await store.count(clinic), await store.count(uuid4())) == (7, 1, 0)
    assert await store.page(clinic, None, 3) == [builders[0].relationship]


async def test_a_caseload_lists_who_needs_somebody_first(store: Store) -> None:
    calm, ruptured = Told(), Told()
    start = calm.started()
    ids = {"clinic_id": start.clinic_id, "clinician_id": start.clinician_id}
    states = []
    for builder, last_rating in ((calm, 9), (ruptured, 2)):
        events: list[Fact] = [builder.started().model_copy(update=ids), builder.consent(-0.5, given=True)]
        events += [builder.felt(0), builder.felt(1), builder.felt(2, last_rating)]
        states.append(Kept(builder.relationship).followed_by(Read(fold(events, DEFAULT))))
    await store.keep(states)

    listed = await store.caseload("clinician", start.clinician_id, 10)

    assert {state.relationship for state in listed} == {calm.relationship, ruptured.relationship}
    if isinstance(store, MongoStore):
        assert listed[0].relationship == ruptured.relationship
        assert len(await store.caseload("clinic", start.clinic_id, 1)) == 1
