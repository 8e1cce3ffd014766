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
    kept = MongoStore(mongo)
    await kept.prepare()
    yield kept
    await mongo.close()


async def test_a_fact_is_kept_once_however_often_it_comes(store: Store) -> None:
    told = Told()
    facts: list[Fact] = [told.started(), told.held(0), told.felt(0)]

    await store.remember(facts)
    await store.remember([facts[2], facts[1], facts[1]])

    history = (await store.history([told.relationship]))[told.relationship]
    assert sorted(fact.id for fact in history) == sorted(fact.id for fact in facts)
    assert fold(history, DEFAULT) == fold(facts, DEFAULT)


async def test_an_alliance_comes_back_as_it_was_kept(store: Store) -> None:
    told = Told()
    facts: list[Fact] = [
        told.started(),
        *(f for w in range(9) for f in (told.held(w), told.felt(w, 9 if w < 8 else 3))),
    ]
    facts += [told.felt(8, 7, "clinician", tension="yes", talked_about="not"), told.missed(9), told.amended(3, 8)]
    alliance = fold(facts, DEFAULT)

    await store.keep([Kept(told.relationship).followed_by(Read(alliance))])

    assert (await store.recall([told.relationship]))[told.relationship] == Kept(told.relationship, Read(alliance), 1)


async def test_an_unknown_relationship_is_a_new_one(store: Store) -> None:
    unknown = uuid4()

    assert (await store.recall([unknown]))[unknown] == Kept(unknown, Read(Alliance()), 0)
    assert await store.history([unknown]) == {unknown: []}


async def test_a_write_over_another_version_is_lost_and_named(store: Store) -> None:
    first, second = Kept(uuid4()), Kept(uuid4())
    alliance = Alliance(sessions=1)
    await store.keep([first.followed_by(Read(alliance))])

    lost = await store.keep([first.followed_by(Read(Alliance(sessions=7))), second.followed_by(Read(alliance))])

    kept = await store.recall([first.relationship, second.relationship])
    assert lost == {first.relationship}
    assert [k.alliance.sessions for k in kept.values()] == [1, 1]


async def test_of_many_who_write_at_once_each_gets_a_turn_and_none_is_overwritten(store: Store) -> None:
    """Ten writers each add one session to the same relationship until their own is in."""
    told = Told()

    async def add_one() -> None:
        while True:
            kept = (await store.recall([told.relationship]))[told.relationship]
            grown = Alliance(sessions=kept.alliance.sessions + 1)
            if not await store.keep([kept.followed_by(Read(grown))]):
                return
            await asyncio.sleep(0)

    await asyncio.gather(*(add_one() for _ in range(10)))

    kept = (await store.recall([told.relationship]))[told.relationship]
    assert (kept.version, kept.alliance.sessions) == (10, 10)


async def test_a_judgement_is_kept_as_it_came_first(store: Store) -> None:
    first = Judgement(uuid4(), uuid4(), uuid4(), BEGINNING, True, ("apart", "sudden_drop"), "0123456789ab")
    second = Judgement(uuid4(), first.relationship, uuid4(), BEGINNING, None)

    assert await store.judge([first]) == [first]
    assert await store.judge([replace(first, useful=False), second, second]) == [second]
    assert await store.judge([]) == []

    kept = await store.judgements([first.relationship, uuid4()])
    assert sorted(kept, key=str) == sorted([first, second], key=str)


async def test_of_a_client_who_is_forgotten_no_judgement_is_kept(store: Store) -> None:
    theirs, others = (Judgement(uuid4(), uuid4(), uuid4(), BEGINNING, True) for _ in range(2))
    await store.judge([theirs, others])

    await store.forget({theirs.relationship: uuid4()})

    assert await store.judgements([theirs.relationship, others.relationship]) == [others]


async def test_relationships_are_read_a_page_at_a_time_each_once(store: Store) -> None:
    told = [Told() for _ in range(7)]
    await store.keep([Kept(t.relationship).followed_by(Read(fold([t.started()], DEFAULT))) for t in told])
    clinic = told[0].started().clinic_id

    pages, after = [], None
    while page := await store.page(None, after, 3):
        pages.append(page)
        after = page[-1]

    assert [len(page) for page in pages] == [3, 3, 1]
    assert {r for page in pages for r in page} == {t.relationship for t in told}
    assert (await store.count(None), await store.count(clinic), await store.count(uuid4())) == (7, 1, 0)
    assert await store.page(clinic, None, 3) == [told[0].relationship]


async def test_a_caseload_lists_who_needs_somebody_first(store: Store) -> None:
    calm, torn = Told(), Told()
    start = calm.started()
    theirs = {"clinic_id": start.clinic_id, "clinician_id": start.clinician_id}
    kept = []
    for told, last in ((calm, 9), (torn, 2)):
        facts: list[Fact] = [told.started().model_copy(update=theirs), told.consent(-0.5, given=True)]
        facts += [told.felt(0), told.felt(1), told.felt(2, last)]
        kept.append(Kept(told.relationship).followed_by(Read(fold(facts, DEFAULT))))
    await store.keep(kept)

    listed = await store.caseload("clinician", start.clinician_id, 10)

    assert {k.relationship for k in listed} == {calm.relationship, torn.relationship}
    if isinstance(store, MongoStore):
        assert listed[0].relationship == torn.relationship
        assert len(await store.caseload("clinic", start.clinic_id, 1)) == 1
