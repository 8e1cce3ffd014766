"""A person's own page: the roles, the browsers in which the person is signed in, and signing out."""

from uuid import uuid4

import pytest

from shared.identity.cookies import LOGIN_COOKIE
from tests.support.page_forms import find_forms
from tests.support.sign_in_world import FROM_OUR_PAGE, SignInWorld, continue_address


@pytest.fixture
async def world() -> SignInWorld:
    world = SignInWorld()
    await world.people.bind(world.anna)
    return world


def form_token(page: str) -> dict[str, str]:
    return {"form_token": find_forms(page)["Sign out"].fields["form_token"]}


async def test_a_person_signs_out_here_and_at_the_issuer(world: SignInWorld) -> None:
    browser = await world.open_signed_in_browser()
    cookie = browser.cookies[LOGIN_COOKIE]

    response = await find_forms((await browser.get("/me")).text)["Sign out"].press(browser)

    assert "You are signed out" in response.text
    assert continue_address(response.text) == "https://issuer.example/sign-out"
    assert LOGIN_COOKIE not in browser.cookies
    assert not await world.is_signed_in(cookie)


async def test_without_a_login_or_an_issuer_there_still_is_a_page_after_signing_out(world: SignInWorld) -> None:
    world.issuer.is_away = True

    response = await world.open_browser().post("/sign-out", headers=FROM_OUR_PAGE)

    assert response.status_code == 200
    assert continue_address(response.text) == ""


async def test_a_person_sees_the_own_browsers_and_signs_out_in_one_of_them(world: SignInWorld) -> None:
    here, there = await world.open_signed_in_browser(), await world.open_signed_in_browser()

    page = (await here.get("/me")).text
    response = await find_forms(page)["Sign out there"].press(here)

    assert page.count("<li>") == 2
    assert page.count("(this one)") == 1
    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert [await here.is_signed_in(), await there.is_signed_in()] == [True, False]


async def test_the_browser_of_somebody_else_stays_signed_in(world: SignInWorld) -> None:
    anna, ben = await world.open_signed_in_browser(), world.open_browser()
    await ben.accept(world.invitations.invite(uuid4()), "ben")
    page = (await ben.get("/me")).text
    [session] = await world.login_sessions.list_active(world.anna.person_id)

    response = await ben.post(
        f"/me/login-sessions/{session.login_session_id}/end", data=form_token(page), headers=FROM_OUR_PAGE
    )

    assert response.status_code == 303
    assert await anna.is_signed_in()


async def test_a_person_chooses_in_which_role_to_act(world: SignInWorld) -> None:
    browser = await world.open_signed_in_browser()
    page = (await browser.get("/me")).text

    response = await browser.post("/me/role", data=form_token(page) | {"role": "supervisor"}, headers=FROM_OUR_PAGE)

    assert response.status_code == 303
    chosen = (await browser.get("/me")).text
    assert 'value="supervisor" checked' in chosen
    await browser.post("/me/role", data=form_token(chosen) | {"role": ""}, headers=FROM_OUR_PAGE)
    assert 'value="" checked' in (await browser.get("/me")).text


async def test_a_role_that_was_just_taken_cannot_be_chosen(world: SignInWorld) -> None:
    browser = await world.open_signed_in_browser()
    page = (await browser.get("/me")).text
    world.roles = ["clinician"]

    response = await browser.post("/me/role", data=form_token(page) | {"role": "supervisor"}, headers=FROM_OUR_PAGE)

    assert response.status_code == 409
    assert "You do not have this role" in response.text
    assert await browser.is_signed_in()


async def test_a_page_that_was_opened_in_the_former_role_changes_nothing(world: SignInWorld) -> None:
    browser = await world.open_signed_in_browser()
    old_page = (await browser.get("/me")).text
    await browser.post("/me/role", data=form_token(old_page) | {"role": "supervisor"}, headers=FROM_OUR_PAGE)

    response = await browser.post("/me/role", data=form_token(old_page) | {"role": ""}, headers=FROM_OUR_PAGE)

    assert response.status_code == 403
    assert "This was not done" in response.text
    assert 'value="supervisor" checked' in (await browser.get("/me")).text


async def test_a_person_without_a_role_learns_whom_to_ask(world: SignInWorld) -> None:
    world.roles = ()

    assert "Ask its administrator" in (await (await world.open_signed_in_browser()).get("/me")).text


async def test_the_page_of_a_person_who_is_signed_out_leads_to_the_sign_in(world: SignInWorld) -> None:
    browser = await world.open_signed_in_browser()
    page = (await browser.get("/me")).text
    world.clock.advance(minutes=30)

    response = await browser.get("/me?from=mail&x=1")
    assert (response.status_code, response.headers["location"]) == (
        303,
        "/sign-in?go_back_to=/me%3Ffrom%3Dmail%26x%3D1",
    )
    changed = await browser.post("/me/role", data=form_token(page) | {"role": ""}, headers=FROM_OUR_PAGE)
    assert changed.status_code == 401
    assert "was not saved" in changed.text


async def test_the_pages_are_protected_and_never_stored(world: SignInWorld) -> None:
    browser = await world.open_signed_in_browser()

    for path in ("/me", "/sign-in", "/sign-in/callback", "/invitations/unknown"):
        headers = (await browser.get(path)).headers
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"


async def test_the_style_sheet_needs_no_login(world: SignInWorld) -> None:
    assert (await world.open_browser().get("/sign-in.css")).headers["content-type"].startswith("text/css")


async def test_a_database_that_is_away_gives_a_page(world: SignInWorld) -> None:
    browser = await world.open_signed_in_browser()
    world.store.is_away = True
    world.clock.advance(minutes=5)

    assert (await browser.get("/me")).status_code == 503
