"""The contract of the store of identities, for the store in memory and for MongoDB with either driver."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import uuid4

import pytest

from shared.errors import IdTaken
from shared.identity.store.memory import InMemoryIdentityStore
from shared.identity.store.mongo import MongoIdentityStore
from shared.identity.store.protocol import AccountTaken, IdentityStore
from tests.support.identity_builders import (
    CLINIC,
    ISSUER,
    NOW,
    OTHER_CLINIC,
    make_login_session,
    make_machine,
    make_person,
    make_started_sign_in,
)
from tests.support.mongo import open_mongo

LATER = NOW + timedelta(minutes=5)


@pytest.fixture(params=["memory", "motor", "pymongo"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[IdentityStore]:
    if request.param == "memory":
        yield InMemoryIdentityStore()
        return
    async with open_mongo(request.getfixturevalue("mongodb_uri"), request.param) as mongo:
        yield MongoIdentityStore(mongo)


async def test_a_person_is_found_by_the_account(store: IdentityStore) -> None:
    anna = make_person("anna")

    await store.bind_person(anna)
    await store.bind_person(anna)

    assert await store.find_person(ISSUER, "anna") == anna
    assert await store.find_person(ISSUER, "ben") is None
    assert await store.find_person("https://other.example", "anna") is None


async def test_an_account_is_bound_to_one_person_only(store: IdentityStore) -> None:
    anna = make_person("anna")
    await store.bind_person(anna)

    with pytest.raises(AccountTaken):
        await store.bind_person(make_person("anna", clinic_id=OTHER_CLINIC))

    assert await store.find_person(ISSUER, "anna") == anna


async def test_of_parallel_requests_for_one_account_one_gets_it(store: IdentityStore) -> None:
    people = [make_person("anna") for _ in range(10)]

    results = await asyncio.gather(*map(store.bind_person, people), return_exceptions=True)

    assert sorted(map(type, results), key=str) == sorted([type(None), *[AccountTaken] * 9], key=str)
    assert await store.find_person(ISSUER, "anna") == people[results.index(None)]


async def test_another_account_takes_the_place_of_a_persons_former_one(store: IdentityStore) -> None:
    anna = make_person("anna")
    await store.bind_person(anna)

    await store.bind_person(anna.model_copy(update={"subject": "anna-new"}))

    assert await store.find_person(ISSUER, "anna") is None
    assert await store.find_person(ISSUER, "anna-new") is not None


async def test_an_account_that_was_taken_from_a_person_can_be_bound_again(store: IdentityStore) -> None:
    former, next_person = make_person("anna"), make_person("anna")
    await store.bind_person(former)

    await store.unbind_person(former.person_id)
    await store.unbind_person(former.person_id)
    await store.bind_person(next_person)

    assert await store.find_person(ISSUER, "anna") == next_person


async def test_a_machine_is_found_by_its_client_and_by_its_id(store: IdentityStore) -> None:
    machine = make_machine()
    changed = machine.model_copy(update={"scopes": frozenset({"staff"})})

    await store.save_machine(machine)
    await store.save_machine(changed)

    assert await store.find_machine(ISSUER, machine.client_id) == changed
    assert await store.get_machine(machine.machine_id) == changed
    assert await store.find_machine(ISSUER, "unknown") is None
    assert await store.get_machine(uuid4()) is None


async def test_a_client_belongs_to_one_machine_only(store: IdentityStore) -> None:
    machine = make_machine()
    await store.save_machine(machine)

    with pytest.raises(AccountTaken):
        await store.save_machine(make_machine(clinic_id=OTHER_CLINIC))

    assert await store.find_machine(ISSUER, machine.client_id) == machine


async def test_a_clinic_cannot_change_or_revoke_the_machine_of_another(store: IdentityStore) -> None:
    machine = make_machine()
    await store.save_machine(machine)

    with pytest.raises(IdTaken):
        await store.save_machine(machine.model_copy(update={"clinic_id": OTHER_CLINIC}))
    with pytest.raises(IdTaken):
        await store.save_machine(make_machine("other-client", machine_id=machine.machine_id, clinic_id=OTHER_CLINIC))
    await store.revoke_machine(OTHER_CLINIC, machine.machine_id, NOW)

    assert await store.get_machine(machine.machine_id) == machine


async def test_a_machine_stays_revoked_since_the_first_time(store: IdentityStore) -> None:
    machine = make_machine()
    await store.save_machine(machine)

    await store.revoke_machine(CLINIC, machine.machine_id, NOW)
    await store.revoke_machine(CLINIC, machine.machine_id, LATER)
    await store.revoke_machine(CLINIC, uuid4(), NOW)

    revoked = await store.find_machine(ISSUER, machine.client_id)
    assert revoked is not None
    assert revoked.revoked_at == NOW


async def test_a_login_session_is_found_by_its_id(store: IdentityStore) -> None:
    session = make_login_session(uuid4(), chosen_role="clinician")

    await store.add_login_session(session)
    await store.add_login_session(session)

    assert await store.find_login_session(session.login_session_id) == session
    assert await store.find_login_session("unknown") is None


async def test_activity_is_written_in_order(store: IdentityStore) -> None:
    session = make_login_session(uuid4())
    await store.add_login_session(session)

    await store.record_activity(session.login_session_id, LATER)
    await store.record_activity(session.login_session_id, NOW)
    await store.record_activity("unknown", LATER)

    assert await store.find_login_session(session.login_session_id) == session.model_copy(
        update={"last_active_at": LATER}
    )


async def test_a_login_session_stays_ended_since_the_first_time(store: IdentityStore) -> None:
    session = make_login_session(uuid4())
    await store.add_login_session(session)

    await store.end_login_session(session.person_id, session.login_session_id, NOW)
    await store.end_login_session(session.person_id, session.login_session_id, LATER)
    await store.record_activity(session.login_session_id, LATER)

    assert await store.find_login_session(session.login_session_id) == session.model_copy(update={"ended_at": NOW})


async def test_one_person_cannot_end_the_login_session_of_another(store: IdentityStore) -> None:
    session = make_login_session(uuid4())
    await store.add_login_session(session)

    await store.end_login_session(uuid4(), session.login_session_id, NOW)

    assert await store.find_login_session(session.login_session_id) == session


async def test_the_open_login_sessions_of_a_person_are_listed_and_ended_together(store: IdentityStore) -> None:
    anna, ben = uuid4(), uuid4()
    first, second, ended = (make_login_session(anna, started_at=NOW + timedelta(hours=n)) for n in range(3))
    bens = make_login_session(ben)
    for session in (first, second, ended, bens):
        await store.add_login_session(session)
    await store.end_login_session(anna, ended.login_session_id, LATER)

    assert await store.list_login_sessions(anna) == [second, first]
    ended_ids = await store.end_login_sessions(anna, LATER)

    assert set(ended_ids) == {first.login_session_id, second.login_session_id}
    assert await store.end_login_sessions(anna, LATER) == []
    assert await store.list_login_sessions(anna) == []
    assert await store.list_login_sessions(ben) == [bens]


async def test_a_started_sign_in_is_taken_once(store: IdentityStore) -> None:
    started = make_started_sign_in(invitation_hash="hash")
    await store.add_started_sign_in(started)

    taken = await asyncio.gather(
        *(store.take_started_sign_in(started.state_hash, started.browser_hash) for _ in range(10))
    )

    assert [each for each in taken if each is not None] == [started]


async def test_another_browser_does_not_get_a_started_sign_in(store: IdentityStore) -> None:
    started = make_started_sign_in()
    await store.add_started_sign_in(started)

    assert await store.take_started_sign_in(started.state_hash, "another browser") is None
    assert await store.take_started_sign_in(started.state_hash, started.browser_hash) == started


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_mongodb_removes_what_is_over(request: pytest.FixtureRequest, driver: str, mongodb_uri: str) -> None:
    async with open_mongo(mongodb_uri, "motor" if driver == "motor" else "pymongo") as mongo:
        store = MongoIdentityStore(mongo)
        await store.create_indexes()
        await store.create_indexes()

        lifetimes = {
            name: {
                index["key"][0][0]: index["expireAfterSeconds"]
                for index in (await mongo[name].index_information()).values()
                if "expireAfterSeconds" in index
            }
            for name in ("people", "machines", "login_sessions", "started_sign_ins")
        }

    assert lifetimes == {
        "people": {},
        "machines": {},
        "login_sessions": {"expires_at": 0},
        "started_sign_ins": {"started_at": 600},
    }
