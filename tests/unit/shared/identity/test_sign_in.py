"""Signing in with a browser: what leads in, and all that does not."""

import pytest

from shared.identity.cookies import LOGIN_COOKIE, SIGN_IN_COOKIE
from shared.identity.login_session import LoginSession
from shared.identity.sign_in import require_local_path
from tests.support.identity_world import AwayStore
from tests.support.sign_in_world import SignInWorld


@pytest.fixture
async def world() -> SignInWorld:
    world = SignInWorld()
    await world.people.bind(world.anna)
    return world


async def test_a_person_signs_in_and_returns_to_where_it_began(world: SignInWorld) -> None:
    browser = world.open_browser()

    response = await browser.sign_in("anna", go_back_to="/inbox/7?page=2")

    assert (response.status_code, response.headers["location"]) == (303, "/inbox/7?page=2")
    assert await browser.is_signed_in()


async def test_a_sign_in_never_leads_to_another_site(world: SignInWorld) -> None:
    response = await world.open_browser().sign_in("anna", go_back_to="//evil.example")

    assert (response.status_code, response.headers["location"]) == (303, "/me")


async def test_the_cookies_are_for_this_host_only_and_hidden_from_scripts(world: SignInWorld) -> None:
    browser = world.open_browser()

    started = await browser.get("/sign-in")
    finished = await browser.sign_in()

    for response, name in ((started, SIGN_IN_COOKIE), (finished, LOGIN_COOKIE)):
        parts = response.headers["set-cookie"].split("; ")
        assert parts[0].startswith(f"{name}=")
        assert {"HttpOnly", "Path=/", "SameSite=lax", "Secure"} <= set(parts)
        assert not any(part.startswith("Domain") for part in parts)


async def test_an_account_that_was_not_invited_does_not_get_in(world: SignInWorld) -> None:
    browser = world.open_browser()

    response = await browser.sign_in("stranger")

    assert response.status_code == 403
    assert "Ask the administrator" in response.text
    assert not await browser.is_signed_in()


async def test_an_answer_of_the_issuer_works_once(world: SignInWorld) -> None:
    browser = world.open_browser()
    callback = world.issuer.sign_in(await browser.start(), "anna")
    assert (await browser.get(callback)).status_code == 303

    repeated = await browser.get(callback)

    assert repeated.status_code == 400
    assert 'href="/sign-in"' in repeated.text


async def test_a_stolen_answer_does_not_work_in_another_browser_and_still_does_in_its_own(world: SignInWorld) -> None:
    victim, thief = world.open_browser(), world.open_browser()
    callback = world.issuer.sign_in(await victim.start(), "anna")
    await thief.start()

    assert (await thief.get(callback)).status_code == 400
    assert (await world.open_browser().get(callback)).status_code == 400
    assert not await thief.is_signed_in()
    assert (await victim.get(callback)).status_code == 303


async def test_a_code_of_another_sign_in_is_refused(world: SignInWorld) -> None:
    browser, thief = world.open_browser(), world.open_browser()
    stolen_code = world.issuer.sign_in(await browser.start(), "anna").partition("code=")[2]
    own = world.issuer.sign_in(await thief.start(), "ben").partition("code=")[0]

    response = await thief.get(f"{own}code={stolen_code}")

    assert response.status_code == 400
    assert not await thief.is_signed_in()


@pytest.mark.parametrize("query", ["", "state=x", "code=x", "state=x&code=x", f"state={'x' * 300}&code=x"])
async def test_an_answer_that_was_not_asked_for_is_refused(world: SignInWorld, query: str) -> None:
    browser = world.open_browser()
    await browser.start()

    assert (await browser.get(f"/sign-in/callback?{query}")).status_code == 400


async def test_a_sign_in_that_was_cancelled_at_the_issuer_can_be_repeated(world: SignInWorld) -> None:
    browser = world.open_browser()
    callback = world.issuer.sign_in(await browser.start(), "anna").partition("&code=")[0]

    assert (await browser.get(f"{callback}&error=access_denied")).status_code == 400
    assert (await browser.sign_in()).status_code == 303


async def test_a_sign_in_must_be_finished_within_ten_minutes(world: SignInWorld) -> None:
    browser = world.open_browser()
    in_time, late = [world.issuer.sign_in(await browser.start(), "anna") for _ in range(2)]

    world.clock.advance(minutes=9, seconds=59)
    assert (await browser.get(in_time)).status_code == 303
    world.clock.advance(seconds=1)
    assert (await browser.get(late)).status_code == 400


async def test_sign_ins_in_two_tabs_both_succeed(world: SignInWorld) -> None:
    browser = world.open_browser()
    first, second = [world.issuer.sign_in(await browser.start(), "anna") for _ in range(2)]

    assert [(await browser.get(callback)).status_code for callback in (second, first)] == [303, 303]
    assert await browser.is_signed_in()


async def test_a_new_sign_in_ends_the_login_session_of_the_browser_before(world: SignInWorld) -> None:
    browser = world.open_browser()

    await browser.sign_in()
    await browser.sign_in()

    assert len(await world.login_sessions.list_active(world.anna.person_id)) == 1


async def test_while_the_issuer_is_away_people_get_a_page_and_those_signed_in_go_on(world: SignInWorld) -> None:
    signed_in, browser = world.open_browser(), world.open_browser()
    await signed_in.sign_in()
    callback = world.issuer.sign_in(await browser.start(), "anna")
    world.issuer.is_away = True

    for path in ("/sign-in", callback):
        response = await browser.get(path)
        assert (response.status_code, response.headers["retry-after"]) == (503, "5")
        assert "Try again in a minute" in response.text
    assert await signed_in.is_signed_in()


class RemovingStore(AwayStore):
    """Another process takes the account from its person just before each login session starts."""

    async def add_login_session(self, session: LoginSession) -> None:
        await self.unbind_person(session.person_id)
        await super().add_login_session(session)


async def test_a_person_who_is_removed_during_the_sign_in_is_not_signed_in() -> None:
    world = SignInWorld(RemovingStore())
    await world.people.bind(world.anna)
    browser = world.open_browser()

    assert (await browser.sign_in()).status_code == 403
    assert await world.login_sessions.list_active(world.anna.person_id) == []


@pytest.mark.parametrize("path", ["/", "/me", "/inbox/1?page=2", "/f/a_b-c", "/a//b", "/%2F%2Fevil.example"])
def test_a_path_of_ours_is_where_a_sign_in_leads_back_to(path: str) -> None:
    assert require_local_path(path) == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "me",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\/evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/\n/evil.example",
        "/me\r\nSet-Cookie: a=b",
        "/ü",
        " /me",
        "/" + "x" * 2_000,
    ],
)
def test_another_address_is_not(path: str) -> None:
    assert require_local_path(path) == "/me"
