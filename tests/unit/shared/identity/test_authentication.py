"""Who sends a request, and whether it counts."""

from datetime import timedelta
from uuid import uuid4

import pytest

from shared.errors import StoreUnavailable
from shared.identity.authentication import Unauthenticated, UntrustedRequest
from shared.identity.form_tokens import FORM_FIELD, HEADER, create_form_token, form_token_of
from shared.identity.principal import Machine, Person
from tests.support.browser_requests import make_request
from tests.support.identity_builders import CLINIC, NOW, OTHER_CLINIC
from tests.support.identity_world import PUBLIC_URL, IdentityWorld

OURS = {"sec-fetch-site": "same-origin"}


@pytest.fixture
def world() -> IdentityWorld:
    return IdentityWorld()


async def test_a_cookie_says_who_asks(world: IdentityWorld) -> None:
    cookie = await world.sign_in()

    person = await world.authentication.authenticate(make_request(cookie=cookie))

    assert isinstance(person, Person)
    assert (person.person_id, person.clinic_id, person.chosen_role) == (world.anna.person_id, CLINIC, None)
    assert cookie not in person.login_session_id


@pytest.mark.parametrize("cookie", ["", "unknown", "x" * 5_000, None])
async def test_without_a_known_cookie_no_one_is_signed_in(world: IdentityWorld, cookie: str | None) -> None:
    with pytest.raises(Unauthenticated) as error:
        await world.authentication.authenticate(make_request(cookie=cookie))

    assert not error.value.is_token_invalid


async def test_the_hash_under_which_a_login_session_is_stored_signs_no_one_in(world: IdentityWorld) -> None:
    await world.sign_in()
    [session] = await world.login_sessions.list_active(world.anna.person_id)

    assert not await world.is_signed_in(session.login_session_id)


async def test_a_token_says_which_machine_asks(world: IdentityWorld) -> None:
    machine_id = uuid4()
    await world.machines.save(CLINIC, machine_id, "practice", ["sessions"])

    machine = await world.authentication.authenticate(
        make_request("POST", headers={"Authorization": "bearer token-of-practice"})
    )

    assert machine == Machine(machine_id, CLINIC, frozenset({"sessions"}))


@pytest.mark.parametrize("token", ["forged", "token-of-stranger", "token-of-revoked"])
async def test_a_token_that_is_invalid_or_of_no_machine_is_refused(world: IdentityWorld, token: str) -> None:
    revoked_id = uuid4()
    await world.machines.save(CLINIC, revoked_id, "revoked", ["sessions"])
    await world.machines.revoke(CLINIC, revoked_id)

    with pytest.raises(Unauthenticated) as error:
        await world.authentication.authenticate(make_request(headers={"authorization": f"Bearer {token}"}))

    assert error.value.is_token_invalid


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic token-of-practice", "token-of-practice"])
async def test_another_kind_of_authorization_is_none(world: IdentityWorld, authorization: str) -> None:
    await world.machines.save(CLINIC, uuid4(), "practice", ["sessions"])

    with pytest.raises(Unauthenticated):
        await world.authentication.authenticate(make_request(headers={"authorization": authorization}))


async def test_a_machine_is_refused_at_once_where_it_is_revoked_and_elsewhere_soon(
    world: IdentityWorld,
) -> None:
    machine_id = uuid4()
    _, _, elsewhere = world.create_service()
    await world.machines.save(CLINIC, machine_id, "practice", ["sessions"])
    request = make_request(headers={"authorization": "Bearer token-of-practice"})
    machine = await world.authentication.authenticate(request)
    await elsewhere.authenticate(request)
    await world.authentication.require_current(machine)

    await world.machines.revoke(OTHER_CLINIC, machine_id)
    await world.authentication.require_current(machine)
    await world.machines.revoke(CLINIC, machine_id)

    for refused in (world.authentication.authenticate(request), world.authentication.require_current(machine)):
        with pytest.raises(Unauthenticated):
            await refused
    world.clock.advance(seconds=5)
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(request)


async def test_requests_keep_a_person_signed_in_and_streams_do_not(world: IdentityWorld) -> None:
    cookie = await world.sign_in()

    for _ in range(4):
        world.clock.advance(minutes=20)
        assert await world.is_signed_in(cookie)
    world.clock.advance(minutes=20)
    assert await world.is_signed_in(cookie, accept="text/event-stream")
    assert await world.is_signed_in(cookie, **{"Attune-Live-Update": "1"})
    world.clock.advance(minutes=10)
    assert not await world.is_signed_in(cookie)


async def test_a_stream_ends_at_the_idle_limit(world: IdentityWorld) -> None:
    cookie = await world.sign_in()
    person = await world.authentication.authenticate(make_request(cookie=cookie))
    assert isinstance(person, Person)

    assert await world.authentication.signed_in_until(person) == NOW + timedelta(minutes=30)
    world.clock.advance(minutes=29, seconds=59)
    await world.authentication.require_current(person)
    world.clock.advance(seconds=1)
    with pytest.raises(Unauthenticated):
        await world.authentication.require_current(person)
    assert await world.authentication.signed_in_until(person) == world.clock()


async def test_activity_at_one_service_counts_at_all(world: IdentityWorld) -> None:
    cookie = await world.sign_in()
    _, _, elsewhere = world.create_service()
    world.clock.advance(minutes=29, seconds=58)
    await elsewhere.authenticate(make_request(cookie=cookie, headers={"accept": "text/event-stream"}))
    assert await world.is_signed_in(cookie)

    world.clock.advance(seconds=2)  # of what it has just read, the other service does not know the activity

    await elsewhere.authenticate(make_request(cookie=cookie))


async def test_a_removed_person_is_signed_out_at_once_here_and_elsewhere_within_seconds(world: IdentityWorld) -> None:
    cookie, phone = await world.sign_in(), await world.sign_in()
    _, _, elsewhere = world.create_service()
    assert await world.is_signed_in(cookie)
    await elsewhere.authenticate(make_request(cookie=cookie))

    await world.people.remove(world.anna.person_id)

    assert not await world.is_signed_in(cookie)
    assert not await world.is_signed_in(phone)
    world.clock.advance(seconds=5)
    with pytest.raises(Unauthenticated):
        await elsewhere.authenticate(make_request(cookie=cookie))


async def test_while_the_database_is_away_those_signed_in_go_on_for_a_minute(world: IdentityWorld) -> None:
    cookie, unseen = await world.sign_in(), await world.sign_in()
    world.clock.advance(minutes=5)
    assert await world.is_signed_in(cookie)
    world.store.is_away = True

    world.clock.advance(seconds=59)
    assert await world.is_signed_in(cookie)
    with pytest.raises(StoreUnavailable):
        await world.is_signed_in(unseen)
    world.clock.advance(seconds=1)
    with pytest.raises(StoreUnavailable):
        await world.is_signed_in(cookie)


async def test_activity_that_cannot_be_written_does_not_fail_the_request(world: IdentityWorld) -> None:
    cookie = await world.sign_in()
    world.clock.advance(seconds=55)
    assert await world.is_signed_in(cookie)
    world.store.is_away = True
    world.clock.advance(seconds=10)

    assert await world.is_signed_in(cookie)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_a_change_needs_a_page_of_ours_and_its_token(world: IdentityWorld, method: str) -> None:
    cookie = await world.sign_in()
    form = {FORM_FIELD: create_form_token(cookie)}

    async def is_trusted(headers: dict[str, str], form: dict[str, str] | None) -> bool:
        try:
            await world.authentication.authenticate(make_request(method, cookie, headers, form))
        except UntrustedRequest:
            return False
        return True

    assert await is_trusted(OURS, form)
    assert await is_trusted({"origin": PUBLIC_URL}, form)
    assert await is_trusted({**OURS, HEADER: form[FORM_FIELD]}, None)
    assert not await is_trusted(OURS, None)
    assert not await is_trusted(OURS, {FORM_FIELD: ""})
    assert not await is_trusted(OURS, {FORM_FIELD: create_form_token("another cookie")})
    assert not await is_trusted({"sec-fetch-site": "cross-site"}, form)
    assert not await is_trusted({"origin": "https://evil.example"}, form)
    assert not await is_trusted({}, form)


async def test_reading_needs_no_token(world: IdentityWorld) -> None:
    cookie = await world.sign_in()

    for method in ("GET", "HEAD", "OPTIONS"):
        await world.authentication.authenticate(make_request(method, cookie, {"sec-fetch-site": "cross-site"}))


async def test_an_upload_of_our_page_brings_its_token_in_the_form(world: IdentityWorld) -> None:
    cookie = await world.sign_in()
    headers = {"content-type": "multipart/form-data; boundary=b", **OURS}
    field = f'--b\r\nContent-Disposition: form-data; name="{FORM_FIELD}"\r\n\r\n{{}}\r\n--b--\r\n'

    await world.authentication.authenticate(
        make_request("POST", cookie, headers, body=field.format(create_form_token(cookie)))
    )
    with pytest.raises(UntrustedRequest):
        await world.authentication.authenticate(make_request("POST", cookie, headers, body=field.format("forged")))


async def test_a_token_is_none_for_another_login_session_and_does_not_show_the_cookie(world: IdentityWorld) -> None:
    cookie, other = await world.sign_in(), await world.sign_in()

    token = form_token_of(make_request(cookie=cookie))

    assert token == create_form_token(cookie) != create_form_token(other)
    assert cookie not in token
    assert form_token_of(make_request()) == ""
