"""Two services share the database of identities: who signs in at one is known to both, also while it is away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from uuid import uuid4

import pytest

from shared.errors import StoreUnavailable
from shared.identity.authentication import Authentication, Unauthenticated
from shared.identity.login_sessions import LoginSessions
from shared.identity.machines import Machines
from shared.identity.people import People
from shared.identity.principal import Machine, Person
from shared.identity.store.mongo import MongoIdentityStore
from shared.mongo.client import Mongo
from tests.support.browser_requests import make_request
from tests.support.identity_builders import CLINIC, ISSUER, Clock, make_person
from tests.support.identity_world import LIMITS, PUBLIC_URL, Tokens
from tools.sandbox.servers.mongod import mongodb_server
from tools.sandbox.servers.ports import free_ports

ANNA = make_person("anna")
MACHINE_REQUEST = {"authorization": "Bearer token-of-practice"}


class Service:
    """What one service knows of who asks."""

    def __init__(self, mongo: Mongo, clock: Clock) -> None:
        self.store = MongoIdentityStore(mongo)
        self.login_sessions = LoginSessions(self.store, LIMITS, clock)
        self.machines = Machines(self.store, ISSUER, clock)
        self.people = People(self.store, self.login_sessions)
        self._authentication = Authentication(self.login_sessions, self.machines, Tokens(), PUBLIC_URL)

    async def find_person(self, cookie: str) -> Person | None:
        try:
            principal = await self._authentication.authenticate(make_request(cookie=cookie))
        except Unauthenticated:
            return None
        assert isinstance(principal, Person)
        return principal

    async def find_machine(self) -> Machine | None:
        try:
            principal = await self._authentication.authenticate(make_request(headers=MACHINE_REQUEST))
        except Unauthenticated:
            return None
        assert isinstance(principal, Machine)
        return principal


@asynccontextmanager
async def open_services(
    uri: str, clock: Clock, second_driver: Literal["motor", "pymongo"] = "pymongo"
) -> AsyncIterator[tuple[Service, Service]]:
    """Two services, each with its own connections and driver."""
    database = f"test_{uuid4().hex}"
    first, second = Mongo(uri, database, "motor"), Mongo(uri, database, second_driver)
    try:
        yield Service(first, clock), Service(second, clock)
    finally:
        await first.close()
        await second.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def test_a_person_signs_in_once_for_all_services(mongodb_uri: str, clock: Clock) -> None:
    async with open_services(mongodb_uri, clock) as (intake, notify):
        cookie = await intake.login_sessions.start(ANNA, "Firefox/140.0")

        assert await notify.find_person(cookie) == await intake.find_person(cookie) is not None
        clock.advance(minutes=25)
        await notify.find_person(cookie)
        clock.advance(minutes=25)
        assert await intake.find_person(cookie) is not None


async def test_withdrawn_access_ends_at_all_services_within_a_minute(mongodb_uri: str, clock: Clock) -> None:
    async with open_services(mongodb_uri, clock) as (intake, notify):
        await intake.people.bind(ANNA)
        machine_id = uuid4()
        await intake.machines.save(CLINIC, machine_id, "practice", ["sessions"])
        cookie = await intake.login_sessions.start(ANNA, "Firefox/140.0")
        for service in (intake, notify):
            assert await service.find_person(cookie) is not None
            assert await service.find_machine() == Machine(machine_id, CLINIC, frozenset({"sessions"}))

        await intake.people.remove(ANNA.person_id)
        await intake.machines.revoke(CLINIC, machine_id)

        assert (await intake.find_person(cookie), await intake.find_machine()) == (None, None)
        clock.advance(seconds=60)
        assert (await notify.find_person(cookie), await notify.find_machine()) == (None, None)


async def test_in_another_role_a_person_acts_at_once_at_all_services(mongodb_uri: str, clock: Clock) -> None:
    async with open_services(mongodb_uri, clock) as (intake, notify):
        cookie = await intake.login_sessions.start(ANNA, "Firefox/140.0")
        person = await intake.find_person(cookie)
        assert person is not None
        await notify.find_person(cookie)

        next_cookie = await intake.login_sessions.choose_role(person, "supervisor")

        assert next_cookie is not None
        acting = await notify.find_person(next_cookie)
        assert acting is not None
        assert acting.chosen_role == "supervisor"


async def test_while_the_database_is_away_those_signed_in_go_on(tmp_path: Path, clock: Clock) -> None:
    with mongodb_server(tmp_path, *free_ports(1)) as server:
        # PyMongo's own API leaves a socket open if it is closed while it tries to connect, which fails the test run.
        async with open_services(server.address, clock, second_driver="motor") as services:
            cookie = await services[0].login_sessions.start(ANNA, "Firefox/140.0")
            other_cookie = await services[0].login_sessions.start(ANNA, "Chrome/138.0")
            people = [await service.find_person(cookie) for service in services]
            server.stop()
            clock.advance(seconds=59)

            assert [await service.find_person(cookie) for service in services] == people
            for service in services:
                with pytest.raises(StoreUnavailable):
                    await service.find_person(other_cookie)
            clock.advance(seconds=1)
            for service in services:
                with pytest.raises(StoreUnavailable):
                    await service.find_person(cookie)
