"""The issuer of tests and of the demo is a real OpenID provider: what it refuses, it refuses as a clinic's would."""

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx2
import pytest

from tests.support.code_flow import CodeFlow, ask_for_token, published_keys, verified
from tests.support.sign_in import machine_token
from tools.sandbox.network.sign_in import BrowserTransport
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Account, Client

pytestmark = pytest.mark.integration

FRONT_DOOR = "http://localhost:8000"


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    """A browser that follows no redirect by itself."""
    async with httpx2.AsyncClient(transport=BrowserTransport(), timeout=30) as client:
        yield client


@pytest.fixture
def ada(issuer: LocalIssuer) -> Account:
    """Somebody who can sign in."""
    account = Account(f"ada-{uuid4()}", "Ada <Brook>", "ada@clinic.example", "clinician & lead")
    issuer.add_account(account)
    return account


async def test_a_person_signs_in_by_a_code_with_pkce(
    issuer: LocalIssuer, http: httpx2.AsyncClient, ada: Account
) -> None:
    flow = CodeFlow(issuer, FRONT_DOOR)

    redirect = await flow.choose(http, ada)
    tokens = (await flow.exchange(redirect.params["code"])).json()

    assert redirect.params["state"] == flow.state
    assert redirect.params["iss"] == issuer.url
    claims = verified(tokens["id_token"], await published_keys(http, issuer)).claims
    assert (claims["iss"], claims["aud"], claims["sub"]) == (issuer.url, "attune-web", ada.subject)
    assert claims["nonce"] == flow.nonce
    assert (claims["name"], claims["email"], claims["email_verified"]) == (ada.name, ada.email, True)
    assert claims["exp"] - claims["iat"] == issuer.configuration.id_token_seconds


async def test_a_code_can_be_exchanged_once(issuer: LocalIssuer, http: httpx2.AsyncClient, ada: Account) -> None:
    flow = CodeFlow(issuer, FRONT_DOOR)
    code = (await flow.choose(http, ada)).params["code"]
    assert (await flow.exchange(code)).status_code == 200

    response = await flow.exchange(code)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


async def test_a_code_is_worthless_without_its_verifier(
    issuer: LocalIssuer, http: httpx2.AsyncClient, ada: Account
) -> None:
    flow = CodeFlow(issuer, FRONT_DOOR)
    code = (await flow.choose(http, ada)).params["code"]

    response = await flow.exchange(code, code_verifier="a" * 43)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_grant")


@pytest.mark.parametrize(
    "changes", [{"code_challenge": None, "code_challenge_method": None}, {"code_challenge_method": "plain"}]
)
async def test_a_sign_in_without_pkce_is_refused(
    issuer: LocalIssuer, http: httpx2.AsyncClient, changes: dict[str, str | None]
) -> None:
    response = await CodeFlow(issuer, FRONT_DOOR).start(http, **changes)

    assert response.status_code == 303
    assert httpx2.URL(response.headers["Location"]).params["error"] == "invalid_request"


@pytest.mark.parametrize(
    "redirect_uri", ["http://evil.example/sign-in/callback", f"{FRONT_DOOR}/sign-in/callback/", f"{FRONT_DOOR}/"]
)
async def test_the_issuer_redirects_to_no_address_that_is_not_registered(
    issuer: LocalIssuer, http: httpx2.AsyncClient, redirect_uri: str
) -> None:
    response = await CodeFlow(issuer, FRONT_DOOR).start(http, redirect_uri=redirect_uri)

    assert response.status_code == 400
    assert "Location" not in response.headers
    assert "Sign-in did not work" in response.text


async def test_the_page_offers_the_people_without_passwords_and_says_that_it_is_a_demo(
    issuer: LocalIssuer, http: httpx2.AsyncClient, ada: Account
) -> None:
    start = await CodeFlow(issuer, FRONT_DOOR).start(http)

    page = await http.get(start.url.join(start.headers["Location"]))

    assert "This is a demo" in page.text
    assert "<button>Ada &lt;Brook&gt;<small>clinician &amp; lead</small></button>" in page.text
    assert "password" in page.text
    assert 'type="password"' not in page.text
    assert "<script" not in page.text


async def test_only_the_people_of_the_page_can_sign_in(issuer: LocalIssuer, http: httpx2.AsyncClient) -> None:
    """The library's own development page would let anybody in, under any name."""
    start = await CodeFlow(issuer, FRONT_DOOR).start(http)

    response = await http.post(start.url.join(start.headers["Location"]), data={"account": "mallory"})

    assert response.status_code == 400
    assert "Location" not in response.headers


async def test_the_page_of_another_browser_cannot_be_used(
    issuer: LocalIssuer, http: httpx2.AsyncClient, ada: Account
) -> None:
    start = await CodeFlow(issuer, FRONT_DOOR).start(http)

    async with httpx2.AsyncClient() as other_browser:
        response = await other_browser.post(start.url.join(start.headers["Location"]), data={"account": ada.subject})

    assert response.status_code == 400
    assert "Location" not in response.headers


async def test_a_machine_gets_an_access_token_that_can_be_verified(
    issuer: LocalIssuer, http: httpx2.AsyncClient
) -> None:
    machine = issuer.add_machine(f"system-{uuid4()}")

    token = verified(await machine_token(issuer, machine), await published_keys(http, issuer))

    assert token.header["typ"] == "at+jwt"
    assert (token.claims["iss"], token.claims["aud"]) == (issuer.url, "attune")
    assert token.claims["client_id"] == machine.client_id
    assert token.claims["exp"] - token.claims["iat"] == issuer.configuration.machine_token_seconds


async def test_a_machine_token_is_asked_for_once(issuer: LocalIssuer) -> None:
    machine = issuer.add_machine(f"system-{uuid4()}")

    assert await machine_token(issuer, machine) == await machine_token(issuer, machine)


async def test_a_machine_with_a_wrong_secret_gets_nothing(issuer: LocalIssuer) -> None:
    machine = issuer.add_machine(f"system-{uuid4()}")

    response = await ask_for_token(issuer, Client(machine.client_id, "guessed"), {"grant_type": "client_credentials"})

    assert (response.status_code, response.json()["error"]) == (401, "invalid_client")


async def test_a_machine_gets_no_token_for_another_audience(issuer: LocalIssuer) -> None:
    machine = issuer.add_machine(f"system-{uuid4()}")
    form = {"grant_type": "client_credentials", "resource": "urn:another-audience"}

    response = await ask_for_token(issuer, machine, form)

    assert (response.status_code, response.json()["error"]) == (400, "invalid_target")


async def test_a_person_who_signs_out_must_choose_again(
    issuer: LocalIssuer, http: httpx2.AsyncClient, ada: Account
) -> None:
    await CodeFlow(issuer, FRONT_DOOR).choose(http, ada)
    assert "code" in httpx2.URL((await CodeFlow(issuer, FRONT_DOOR).start(http)).headers["Location"]).params

    form = await http.get(f"{issuer.url}/session/end", params=sign_out_parameters(issuer))
    assert "Sign out?" in form.text
    hidden = form.text.split('name="xsrf" value="')[1].split('"')[0]
    response = await http.post(f"{issuer.url}/session/end/confirm", data={"xsrf": hidden, "logout": "yes"})

    assert (response.status_code, response.headers["Location"]) == (303, f"{FRONT_DOOR}/")
    assert "/interaction/" in (await CodeFlow(issuer, FRONT_DOOR).start(http)).headers["Location"]


def sign_out_parameters(issuer: LocalIssuer) -> dict[str, str]:
    client_id = issuer.configuration.web_client.client_id
    return {"client_id": client_id, "post_logout_redirect_uri": f"{FRONT_DOOR}/"}
