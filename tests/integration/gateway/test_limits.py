"""What a stranger can take from the gateway, without a password."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack

import httpx2
import pytest

from tests.integration.gateway.conftest import PASSWORD, insecure_context
from tests.support.serving import wait_until

pytestmark = pytest.mark.integration

FORM_BYTES = 16 * 1024
REQUESTS_IN_PROGRESS = 100
STALL_SECONDS = 10.0
UNFINISHED_UPLOAD = b"POST /f/token HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\nx"
UNFINISHED_HEADERS = b"GET /f/token HTTP/1.1\r\n"


async def test_a_form_may_have_16_kb(gateway: httpx2.AsyncClient) -> None:
    accepted = await gateway.post("/f/token", content=b"x" * FORM_BYTES)
    rejected = await gateway.post("/f/token", content=b"x" * (FORM_BYTES + 1))
    style = await gateway.post("/form.css", content=b"x" * 2048)

    assert (accepted.status_code, accepted.json()["size"]) == (200, FORM_BYTES)
    assert rejected.status_code == 413
    assert style.status_code == 413


async def test_an_upload_without_a_password_is_rejected_before_it_is_read(gateway_port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway_port, ssl=insecure_context())
    writer.write(b"POST /intake/clinics/1 HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n\r\nx")

    async with asyncio.timeout(STALL_SECONDS / 2):
        status_line = await reader.readline()
    writer.close()

    assert b" 401 " in status_line


@pytest.mark.parametrize("request_start", [UNFINISHED_UPLOAD, UNFINISHED_HEADERS])
async def test_a_stalled_request_is_closed_after_ten_seconds(gateway_port: int, request_start: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway_port, ssl=insecure_context())
    writer.write(request_start)

    async with asyncio.timeout(STALL_SECONDS + 5):
        await reader.read()
    writer.close()


async def test_one_address_has_a_limited_number_of_requests_in_progress(
    gateway: httpx2.AsyncClient, gateway_port: int
) -> None:
    async with AsyncExitStack() as connections:
        for _ in range(REQUESTS_IN_PROGRESS):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway_port, ssl=insecure_context())
            connections.callback(writer.close)
            writer.write(UNFINISHED_UPLOAD)
            await writer.drain()
        await wait_until(lambda: _is_rejected(gateway), STALL_SECONDS / 2)
        response = await gateway.get("/f/token")

    assert response.headers["Content-Type"] == "text/html"
    assert response.headers["Retry-After"]


async def test_a_stranger_can_try_few_passwords_a_second(gateway: httpx2.AsyncClient) -> None:
    outcomes: Counter[int] = Counter()
    started_at = time.monotonic()

    async def guess() -> None:
        while time.monotonic() - started_at < 2:
            response = await gateway.get("/intake/clinics/1", auth=("staff", "a guess"))
            outcomes[response.status_code] += 1

    async with asyncio.timeout(3 * STALL_SECONDS):
        await asyncio.gather(*(guess() for _ in range(80)))
        right = await gateway.get("/intake/clinics/1", auth=("staff", PASSWORD))

    assert outcomes.total() < 200
    assert right.status_code == 200


async def _is_rejected(gateway: httpx2.AsyncClient) -> bool:
    return (await gateway.get("/f/token")).status_code == 429
