"""The issuer as a server: its keys, its clock, its life and its addresses."""

import asyncio
import os
import sys
import time
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from tests.support.code_flow import key_ids, published_keys, verified
from tests.support.serving import wait_until
from tools.sandbox.network.sign_in import MachineTokens
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Client, IssuerConfiguration
from tools.sandbox.servers.ports import free_ports
from tools.sandbox.servers.process import PROJECT_ROOT, RunError, running_process

pytestmark = pytest.mark.integration

MACHINE = Client("system-a")
CONFIGURATION = IssuerConfiguration(front_doors=("http://localhost:8000",), machines=(MACHINE,))
FORWARDED_HEADERS = ("X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-For", "Forwarded")


@pytest.fixture
def own_issuer(tmp_path: Path) -> Iterator[LocalIssuer]:
    """An issuer that the test may break."""
    with LocalIssuer(tmp_path, free_ports(1)[0], CONFIGURATION) as started:
        yield started


@pytest.fixture
async def http() -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(timeout=30) as client:
        yield client


async def new_token(issuer: LocalIssuer) -> str:
    return await MachineTokens(issuer.token_url).of(MACHINE)


async def test_after_a_rotation_a_new_key_signs_and_the_old_one_still_verifies(
    own_issuer: LocalIssuer, http: httpx2.AsyncClient
) -> None:
    old_token = await new_token(own_issuer)

    own_issuer.rotate_keys()
    new = await new_token(own_issuer)

    keys = await published_keys(http, own_issuer)
    new_key_id, old_key_id = key_ids(keys)
    assert verified(new, keys).header["kid"] == new_key_id
    assert verified(old_token, keys).header["kid"] == old_key_id


async def test_a_rotation_can_withdraw_the_old_key(own_issuer: LocalIssuer, http: httpx2.AsyncClient) -> None:
    old_key_ids = key_ids(await published_keys(http, own_issuer))

    own_issuer.rotate_keys(keeps_previous=False)

    assert not set(old_key_ids) & set(key_ids(await published_keys(http, own_issuer)))


async def test_a_restart_keeps_the_keys(tmp_path: Path, http: httpx2.AsyncClient) -> None:
    with LocalIssuer(tmp_path, free_ports(1)[0], CONFIGURATION) as first:
        token = await new_token(first)

    with LocalIssuer(tmp_path, free_ports(1)[0], CONFIGURATION) as second:
        assert verified(token, await published_keys(http, second)).claims["client_id"] == MACHINE.client_id


async def test_a_second_issuer_on_the_same_data_leaves_the_first_alone(own_issuer: LocalIssuer) -> None:
    second = LocalIssuer(own_issuer.server.data, free_ports(1)[0], replace(CONFIGURATION, machines=()))
    second.configure(machine_token_seconds=7)

    with pytest.raises(RunError, match="Another process already uses"):
        second.server.start()

    assert await new_token(own_issuer)


async def test_the_clock_of_the_issuer_can_be_wrong(own_issuer: LocalIssuer, http: httpx2.AsyncClient) -> None:
    own_issuer.configure(clock_offset_seconds=3600)

    claims = verified(await new_token(own_issuer), await published_keys(http, own_issuer)).claims

    assert claims["iat"] - time.time() == pytest.approx(3600, abs=60)


async def test_a_token_lives_as_long_as_configured(own_issuer: LocalIssuer, http: httpx2.AsyncClient) -> None:
    own_issuer.configure(machine_token_seconds=7)

    claims = verified(await new_token(own_issuer), await published_keys(http, own_issuer)).claims

    assert claims["exp"] - claims["iat"] == 7


async def test_no_forwarding_header_changes_an_address(own_issuer: LocalIssuer, http: httpx2.AsyncClient) -> None:
    discovery_url = f"{own_issuer.url}/.well-known/openid-configuration"
    forged = dict.fromkeys(FORWARDED_HEADERS, "evil.example")

    assert (await http.get(discovery_url, headers=forged)).json() == (await http.get(discovery_url)).json()


async def test_a_site_whose_name_resolves_to_loopback_is_refused(
    own_issuer: LocalIssuer, http: httpx2.AsyncClient
) -> None:
    response = await http.get(f"{own_issuer.url}/jwks", headers={"Host": f"evil.example:{own_issuer.server.port}"})

    assert response.status_code == 421


@pytest.mark.parametrize("path", ["/", "/oidc", "/oidcx", "/jwks", "/.well-known/openid-configuration"])
async def test_there_is_nothing_outside_its_path(own_issuer: LocalIssuer, http: httpx2.AsyncClient, path: str) -> None:
    response = await http.get(httpx2.URL(own_issuer.url).join(path))

    assert response.status_code == 404


def test_its_secrets_are_for_its_owner_only(own_issuer: LocalIssuer) -> None:
    (file,) = own_issuer.server.data.glob("configuration*")

    assert file.stat().st_mode & 0o077 == 0


async def test_it_stops_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path), str(free_ports(1)[0])]
    parent = await asyncio.create_subprocess_exec(*command, cwd=PROJECT_ROOT, stdout=PIPE)
    assert parent.stdout is not None
    await parent.stdout.readuntil(b"ready\n")
    process_id = running_process(tmp_path)
    assert process_id is not None

    parent.kill()
    await parent.wait()

    async def is_gone() -> bool:
        return not _exists(process_id)

    await wait_until(is_gone)


PARENT = """
import signal, sys
from pathlib import Path
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import IssuerConfiguration

with LocalIssuer(Path(sys.argv[1]), int(sys.argv[2]), IssuerConfiguration(front_doors=("http://localhost:8000",))):
    print("ready", flush=True)
    signal.pause()
"""


def _exists(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True
