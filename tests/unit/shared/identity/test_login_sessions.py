"""What people do with their login sessions."""

from datetime import timedelta
from uuid import uuid4

import pytest

from shared.identity.principal import Person
from tests.support.browser_requests import make_request
from tests.support.identity_builders import NOW
from tests.support.identity_world import IdentityWorld


@pytest.fixture
def world() -> IdentityWorld:
    return IdentityWorld()


async def test_in_another_role_the_former_cookie_and_its_forms_no_longer_work(world: IdentityWorld) -> None:
    cookie = await world.sign_in()
    person = await world.authentication.authenticate(make_request(cookie=cookie))
    assert isinstance(person, Person)
    world.clock.advance(minutes=20)

    next_cookie = await world.login_sessions.choose_role(person, "supervisor")

    assert next_cookie is not None
    assert not await world.is_signed_in(cookie)
    supervisor = await world.authentication.authenticate(make_request(cookie=next_cookie))
    assert isinstance(supervisor, Person)
    assert supervisor.chosen_role == "supervisor"
    [session] = await world.login_sessions.list_active(world.anna.person_id)
    assert (session.started_at, session.expires_at) == (NOW, NOW + timedelta(hours=12))
    assert await world.login_sessions.choose_role(person, "clinician") is None


async def test_only_active_login_sessions_are_listed_and_each_can_be_ended(world: IdentityWorld) -> None:
    old = await world.sign_in()
    world.clock.advance(minutes=30)
    first, second = await world.sign_in(), await world.sign_in()
    sessions = await world.login_sessions.list_active(world.anna.person_id)
    assert len(sessions) == 2

    person = await world.authentication.authenticate(make_request(cookie=first))
    assert isinstance(person, Person)
    await world.login_sessions.end(uuid4(), person.login_session_id)
    assert await world.is_signed_in(first)
    await world.login_sessions.end(person.person_id, person.login_session_id)

    assert [await world.is_signed_in(cookie) for cookie in (old, first, second)] == [False, False, True]
