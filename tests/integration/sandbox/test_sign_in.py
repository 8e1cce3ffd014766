"""The simulated network signs in as browsers and clinics' systems do."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, RedirectResponse, Response

from tests.support.code_flow import CodeFlow, published_keys, verified
from tests.support.serving import run_app
from tools.sandbox.network.sign_in import SignInFailed, browser, sign_in
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Account

pytestmark = pytest.mark.integration

COOKIE = "__Host-test"


@pytest.fixture
async def front_door(issuer: LocalIssuer) -> AsyncIterator[str]:
    """The public URL of a front door that can do no more than sign people in."""
    flow = CodeFlow(issuer, front_door="")
    async with run_app(create_front_door(flow)) as client:
        flow.front_door = str(client.base_url).rstrip("/")
        issuer.add_front_door(flow.front_door)
        yield flow.front_door


@pytest.fixture
def person(issuer: LocalIssuer) -> Account:
    account = Account(f"person-{uuid4()}", "Ada Brook", "ada@clinic.example")
    issuer.add_account(account)
    return account


async def test_a_browser_is_signed_in_as_the_person_of_its_choice(front_door: str, person: Account) -> None:
    async with browser(front_door) as tab:
        page = await sign_in(tab, front_door, person)

        assert page.text == person.subject
        assert (await tab.get("/")).text == person.subject


async def test_two_browsers_are_two_people(issuer: LocalIssuer, front_door: str, person: Account) -> None:
    other = Account(f"other-{uuid4()}", "Ben Cole", "ben@clinic.example")
    issuer.add_account(other)

    async with browser(front_door) as first, browser(front_door) as second:
        await sign_in(first, front_door, person)
        await sign_in(second, front_door, other)

        assert (await first.get("/")).text == person.subject
        assert (await second.get("/")).text == other.subject


async def test_a_browser_says_where_an_unsafe_request_comes_from(front_door: str) -> None:
    async with browser(front_door) as tab:
        headers = (await tab.post("/headers")).json()

        assert (headers["origin"], headers["sec-fetch-site"]) == (front_door, "same-origin")
        assert "origin" not in (await tab.get("/headers")).json()


async def test_a_stranger_is_not_signed_in(front_door: str) -> None:
    async with browser(front_door) as tab:
        with pytest.raises(SignInFailed, match=r"the sign-in of stranger ended at .*/interaction/.* with 400"):
            await sign_in(tab, front_door, Account("stranger", "Stranger", "stranger@example"))


async def test_a_front_door_that_does_not_lead_to_the_issuer_is_named(front_door: str, person: Account) -> None:
    async with browser(front_door) as tab:
        with pytest.raises(SignInFailed, match=r"ended at .*/elsewhere/sign-in with 404"):
            await sign_in(tab, f"{front_door}/elsewhere", person)


def create_front_door(flow: CodeFlow) -> FastAPI:
    """Sign-in without any check: it stands where Attune's will."""
    app = FastAPI()

    @app.get("/health/ready")
    async def ready() -> None:
        """It needs nothing."""

    @app.get("/sign-in")
    async def start() -> Response:
        return RedirectResponse(flow.start_url(), status_code=303)

    @app.get("/sign-in/callback")
    async def finish(code: str) -> Response:
        id_token = (await flow.exchange(code)).json()["id_token"]
        async with httpx2.AsyncClient() as http:
            subject = verified(id_token, await published_keys(http, flow.issuer)).claims["sub"]
        response = RedirectResponse("/", status_code=303)
        response.set_cookie(COOKIE, subject, secure=True, httponly=True, samesite="lax")
        return response

    @app.get("/")
    async def home(request: Request) -> Response:
        return PlainTextResponse(request.cookies.get(COOKIE, "unknown"))

    @app.api_route("/headers", methods=["GET", "POST"])
    async def headers(request: Request) -> dict[str, str]:
        return dict(request.headers)

    return app
