"""Attune and a certified issuer understand each other, also when something goes wrong with the issuer."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx2
import pytest

from shared.identity.errors import InvalidToken, IssuerUnavailable, SignInFailed
from shared.identity.issuer import Issuer
from shared.identity.issuer_cache import MIN_REFETCH_SECONDS
from shared.identity.settings import IdentitySettings
from shared.identity.tokens import Subject
from tests.support.code_flow import CALLBACK, CodeFlow, ask_for_token, follow_until
from tests.unit.shared.identity.connected_issuer import VERIFIER, FakeTimer
from tools.sandbox.network.sign_in import BrowserTransport, MachineTokens
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Account, Client, IssuerConfiguration
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

FRONT_DOOR = "http://localhost:8000"
ADA = Account("ada-7", "Ada Brook", "ada@clinic.example")
MACHINE = Client("intake-system")


@pytest.fixture
def own_issuer(tmp_path: Path) -> Iterator[LocalIssuer]:
    """An issuer that the test may break."""
    configuration = IssuerConfiguration(front_doors=(FRONT_DOOR,), accounts=(ADA,), machines=(MACHINE,))
    with LocalIssuer(tmp_path, free_ports(1)[0], configuration) as started:
        yield started


@pytest.fixture
def timer() -> FakeTimer:
    return FakeTimer()


@pytest.fixture
async def attune(own_issuer: LocalIssuer, timer: FakeTimer) -> AsyncIterator[Issuer]:
    """Attune's side of the connection."""
    values = {name.lower(): value for name, value in own_issuer.service_settings.items()}
    issuer = Issuer(IdentitySettings.model_validate(values), monotonic_clock=timer)
    yield issuer
    await issuer.aclose()


async def sign_in(attune: Issuer) -> str:
    """Go where Attune sends the browser, choose Ada, and return the code with which the browser comes back."""
    address = await attune.start_sign_in("the-state", "the-nonce", VERIFIER)
    async with httpx2.AsyncClient(transport=BrowserTransport(), timeout=30) as browser:
        page = await follow_until(browser, await browser.get(address), "/interaction/")
        response = await browser.post(page.headers["Location"], data={"account": ADA.subject})
        callback = httpx2.URL((await follow_until(browser, response, CALLBACK)).headers["Location"])
    assert callback.params["state"] == "the-state"
    return callback.params["code"]


async def machine_token(issuer: LocalIssuer) -> str:
    """A new token of the machine."""
    return await MachineTokens(issuer.token_url).of(MACHINE)


async def test_a_person_signs_in_once_with_a_code(attune: Issuer, own_issuer: LocalIssuer) -> None:
    code = await sign_in(attune)

    assert await attune.finish_sign_in(code, VERIFIER, "the-nonce") == Subject(own_issuer.url, ADA.subject)
    with pytest.raises(SignInFailed, match="finished before"):
        await attune.finish_sign_in(code, VERIFIER, "the-nonce")


async def test_a_stolen_code_is_worthless_without_verifier_and_nonce(attune: Issuer) -> None:
    with pytest.raises(SignInFailed, match="finished before"):
        await attune.finish_sign_in(await sign_in(attune), "w" * 43, "the-nonce")
    with pytest.raises(SignInFailed, match="could not be verified"):
        await attune.finish_sign_in(await sign_in(attune), VERIFIER, "another-nonce")


async def test_a_machine_is_known_by_its_token(attune: Issuer, own_issuer: LocalIssuer) -> None:
    token = await machine_token(own_issuer)

    assert (await attune.verify_machine_token(token)).client_id == MACHINE.client_id
    with pytest.raises(InvalidToken):
        await attune.verify_machine_token(token[:-8] + "AAAAAAAA")


async def test_no_token_of_a_person_is_a_machine_token(attune: Issuer, own_issuer: LocalIssuer) -> None:
    flow = CodeFlow(own_issuer, FRONT_DOOR)
    async with httpx2.AsyncClient(transport=BrowserTransport(), timeout=30) as browser:
        tokens = (await flow.exchange((await flow.choose(browser, ADA)).params["code"])).json()

    for name in ("id_token", "access_token"):
        with pytest.raises(InvalidToken):
            await attune.verify_machine_token(tokens[name])


async def test_attune_itself_is_no_machine(attune: Issuer, own_issuer: LocalIssuer) -> None:
    """Its client secret opens nothing but sign-ins."""
    client = own_issuer.configuration.web_client
    response = await ask_for_token(own_issuer, client, {"grant_type": "client_credentials"})

    assert response.status_code == 400


async def test_keys_rotate(attune: Issuer, own_issuer: LocalIssuer, timer: FakeTimer) -> None:
    await attune.verify_machine_token(old_token := await machine_token(own_issuer))
    own_issuer.rotate_keys(keeps_previous=False)
    timer.seconds += MIN_REFETCH_SECONDS

    assert (await attune.finish_sign_in(await sign_in(attune), VERIFIER, "the-nonce")).subject == ADA.subject
    assert (await attune.verify_machine_token(await machine_token(own_issuer))).client_id == MACHINE.client_id
    with pytest.raises(InvalidToken):
        await attune.verify_machine_token(old_token)


@pytest.mark.parametrize("offset_seconds", [-400, 90])
async def test_an_issuer_with_a_wrong_clock_signs_nobody_in(
    attune: Issuer, own_issuer: LocalIssuer, offset_seconds: int
) -> None:
    own_issuer.configure(clock_offset_seconds=offset_seconds, id_token_seconds=300, machine_token_seconds=300)

    with pytest.raises(SignInFailed, match="could not be verified"):
        await attune.finish_sign_in(await sign_in(attune), VERIFIER, "the-nonce")
    with pytest.raises(InvalidToken, match="check the clocks"):
        await attune.verify_machine_token(await machine_token(own_issuer))


async def test_machines_go_on_while_the_issuer_is_away(attune: Issuer, own_issuer: LocalIssuer) -> None:
    token, code = await machine_token(own_issuer), await sign_in(attune)
    await attune.verify_machine_token(token)
    own_issuer.server.stop()

    assert (await attune.verify_machine_token(token)).client_id == MACHINE.client_id
    with pytest.raises(IssuerUnavailable):
        await attune.finish_sign_in(code, VERIFIER, "the-nonce")
