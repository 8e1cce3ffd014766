"""An invitation binds the account with which it is accepted to the person who was invited."""

from uuid import uuid4

import pytest

from tests.support.identity_builders import CLINIC, ISSUER, make_person
from tests.support.sign_in_world import FROM_OUR_PAGE, SignInWorld, continue_address


@pytest.fixture
def world() -> SignInWorld:
    return SignInWorld()


async def test_opening_an_invitation_changes_nothing_and_names_no_one(world: SignInWorld) -> None:
    token = world.invitations.invite(world.anna.person_id)
    browser = world.open_browser()

    for _ in range(3):
        page = await browser.get(f"/invitations/{token}")

    assert page.status_code == 200
    assert "You are invited to Attune" in page.text
    assert str(world.anna.person_id) not in page.text
    assert str(CLINIC) not in page.text
    assert page.headers["referrer-policy"] == "same-origin"
    assert (await browser.accept(token, "anna")).status_code == 303


async def test_accepting_it_binds_the_account_and_signs_in(world: SignInWorld) -> None:
    browser = world.open_browser()

    response = await browser.accept(world.invitations.invite(world.anna.person_id), "anna")

    assert (response.status_code, response.headers["location"]) == (303, "/me")
    assert await browser.is_signed_in()
    assert await world.store.find_person(ISSUER, "anna") == world.anna
    assert (await world.open_browser().sign_in("anna")).status_code == 303


async def test_it_can_be_used_once(world: SignInWorld) -> None:
    token = world.invitations.invite(world.anna.person_id)
    first, second = world.open_browser(), world.open_browser()
    both = [await browser.post(f"/invitations/{token}", headers=FROM_OUR_PAGE) for browser in (first, second)]

    callbacks = [
        world.issuer.sign_in(continue_address(page.text), subject)
        for page, subject in zip(both, ("anna", "thief"), strict=True)
    ]

    assert (await first.get(callbacks[0])).status_code == 303
    assert (await second.get(callbacks[1])).status_code == 404
    assert not await second.is_signed_in()
    assert await world.store.find_person(ISSUER, "thief") is None


@pytest.mark.parametrize("token", ["unknown", "x" * 300])
async def test_an_unknown_invitation_gets_a_page_that_says_what_to_do(world: SignInWorld, token: str) -> None:
    browser = world.open_browser()

    for response in (
        await browser.get(f"/invitations/{token}"),
        await browser.post(f"/invitations/{token}", headers=FROM_OUR_PAGE),
    ):
        assert response.status_code == 404
        assert "Ask the administrator of your clinic for a new invitation" in response.text


async def test_an_account_of_another_person_is_not_bound_and_the_invitation_stays_open(world: SignInWorld) -> None:
    ben = make_person("ben", person_id=uuid4())
    await world.people.bind(ben)
    token = world.invitations.invite(world.anna.person_id)
    browser = world.open_browser()

    response = await browser.accept(token, "ben")

    assert response.status_code == 409
    assert "This account is in use already" in response.text
    assert "Sign out of this account" in response.text
    assert not await browser.is_signed_in()
    assert await world.store.find_person(ISSUER, "ben") == ben
    assert (await world.open_browser().accept(token, "anna")).status_code == 303


async def test_a_person_who_accepts_with_another_account_is_signed_out_of_the_former_one(world: SignInWorld) -> None:
    former, browser = world.open_browser(), world.open_browser()
    await former.accept(world.invitations.invite(world.anna.person_id), "anna")

    await browser.accept(world.invitations.invite(world.anna.person_id), "anna-new")

    assert [await former.is_signed_in(), await browser.is_signed_in()] == [False, True]
    assert (await former.sign_in("anna")).status_code == 403


async def test_another_site_cannot_accept_an_invitation_for_somebody(world: SignInWorld) -> None:
    token = world.invitations.invite(world.anna.person_id)

    response = await world.open_browser().post(f"/invitations/{token}", headers={"Sec-Fetch-Site": "cross-site"})

    assert response.status_code == 403


async def test_a_removed_person_needs_a_new_invitation(world: SignInWorld) -> None:
    browser = world.open_browser()
    await browser.accept(world.invitations.invite(world.anna.person_id), "anna")

    await world.people.remove(world.anna.person_id)

    assert not await browser.is_signed_in()
    assert (await browser.sign_in("anna")).status_code == 403
    assert (await browser.accept(world.invitations.invite(uuid4()), "anna")).status_code == 303
