"""What a request gets that is not known to be from a person or a machine."""

import httpx2
import pytest
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse

from shared.http.problems import MEDIA_TYPE
from shared.identity.cookies import LOGIN_COOKIE
from shared.identity.http.answers import add_identity_handlers
from tests.support.identity_world import PUBLIC_URL, IdentityWorld

world = IdentityWorld()
app = FastAPI(dependencies=[Depends(world.authentication.authenticate)])
add_identity_handlers(app)


@app.api_route("/api", methods=["GET", "POST"])
async def answer_program() -> str:
    return "for programs"


@app.api_route("/page", methods=["GET", "POST"], response_class=HTMLResponse)
async def answer_person() -> str:
    return "for people"


@pytest.fixture
def client() -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url=PUBLIC_URL)


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, "Bearer"),
        ({"Authorization": "Bearer forged"}, 'Bearer error="invalid_token"'),
        ({"Cookie": f"{LOGIN_COOKIE}=unknown"}, "Bearer"),
    ],
)
async def test_a_program_learns_that_it_must_send_a_valid_token(
    client: httpx2.AsyncClient, method: str, headers: dict[str, str], challenge: str
) -> None:
    response = await client.request(method, "/api", headers=headers)

    assert (response.status_code, response.headers["www-authenticate"]) == (401, challenge)
    assert response.headers["content-type"] == MEDIA_TYPE
    assert response.headers["cache-control"] == "no-store"
    assert response.json()["type"] == "urn:attune:problem:unauthenticated"


async def test_a_person_is_sent_to_the_sign_in_and_back(client: httpx2.AsyncClient) -> None:
    response = await client.get("/page?page=2")

    assert (response.status_code, response.headers["location"]) == (303, "/sign-in?go_back_to=/page%3Fpage%3D2")


async def test_what_a_person_sent_too_late_was_not_saved(client: httpx2.AsyncClient) -> None:
    response = await client.post("/page")

    assert response.status_code == 401
    assert "was not saved" in response.text


@pytest.mark.parametrize("path", ["/page", "/api"])
async def test_a_change_that_another_site_may_have_sent_is_not_done(client: httpx2.AsyncClient, path: str) -> None:
    cookie = {"Cookie": f"{LOGIN_COOKIE}={await world.sign_in()}"}

    assert (await client.get(path, headers=cookie)).status_code == 200
    response = await client.post(path, headers={**cookie, "Sec-Fetch-Site": "cross-site"})

    assert response.status_code == 403
    assert response.headers["content-type"].startswith("text/html" if path == "/page" else MEDIA_TYPE)
