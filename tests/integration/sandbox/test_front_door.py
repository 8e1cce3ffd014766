"""The front door of the demo leads where the gateway leads, and streams what it passes on."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from tests.support.serving import run_app, wait_until
from tools.contracts.documents import SERVICES
from tools.sandbox.demo.start_page import write
from tools.sandbox.servers.front_door import FrontDoor, create_front_door
from tools.sandbox.servers.front_door_routes import FORWARDED_HEADERS
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration

STREAM = "/clinicians/0a/inbox/stream"
LAN_ADDRESS = "127.0.0.2"
"""Another address of this machine, in the place of the one in the network."""


class Upstream:
    """All services in one application: it answers with what arrived, and streams what it is given."""

    def __init__(self) -> None:
        self.events = asyncio.Queue[str]()
        self.open_streams = 0
        self.app = FastAPI()
        self.app.get(STREAM)(self.stream)
        self.app.get("/inbox/moved")(self.move)
        self.app.api_route("/{path:path}", methods=["GET", "POST", "PUT"])(self.answer)
        self.ports: dict[str, int] = {}

    async def answer(self, request: Request) -> Response:
        body = await request.body()
        assert request.scope["server"]
        arrived = {
            "port": request.scope["server"][1],
            "url": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
            "headers": dict(request.headers),
            "body": body.decode(),
        }
        response = JSONResponse(arrived)
        for name in ("first", "second"):
            response.set_cookie(name, "1", httponly=True)
        return response

    async def move(self) -> Response:
        return RedirectResponse("/inbox/1", 303)

    async def stream(self) -> StreamingResponse:
        return StreamingResponse(self._events(), media_type="text/event-stream")

    async def _events(self) -> AsyncIterator[str]:
        self.open_streams += 1
        try:
            while True:
                yield await self.events.get()
        finally:
            self.open_streams -= 1


@pytest.fixture
def upstream() -> Upstream:
    return Upstream()


@pytest.fixture
async def service_urls(upstream: Upstream) -> AsyncIterator[dict[str, str]]:
    """A URL of its own for each service."""
    async with run_services(upstream) as urls:
        yield urls


@asynccontextmanager
async def run_services(upstream: Upstream) -> AsyncIterator[dict[str, str]]:
    async with (
        run_app(upstream.app) as intake,
        run_app(upstream.app) as sessions,
        run_app(upstream.app) as alliance,
        run_app(upstream.app) as notify,
    ):
        clients = (intake, sessions, alliance, notify)
        yield {name: str(client.base_url) for name, client in zip(SERVICES, clients, strict=True)}


@pytest.fixture
async def front_door(service_urls: dict[str, str], tmp_path: Path) -> AsyncIterator[FrontDoor]:
    (port,) = free_ports(1)
    door = create_front_door(tmp_path / "door", port, service_urls, lan_address=LAN_ADDRESS)
    await asyncio.to_thread(door.server.start)
    yield door
    await asyncio.to_thread(door.server.stop)


@pytest.fixture
async def browser(front_door: FrontDoor) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=front_door.url, timeout=10) as client:
        yield client


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


@pytest.mark.parametrize(
    ("path", "service", "service_path"),
    [
        ("/f/token?utm=1", "sessions", "/f/token?utm=1"),
        ("/form.css", "sessions", "/form.css"),
        ("/inbox/1", "notify", "/inbox/1"),
        ("/sign-in/callback?code=a%20b&state=c", "intake", "/sign-in/callback?code=a%20b&state=c"),
        ("/me", "intake", "/me"),
        ("/intake/clinics/1", "intake", "/clinics/1"),
        ("/sessions/sessions/1/missed", "sessions", "/sessions/1/missed"),
        ("/alliance/relationships/1/trajectory", "alliance", "/relationships/1/trajectory"),
        ("/notify/alerts/1", "notify", "/alerts/1"),
    ],
)
async def test_a_listed_path_leads_to_its_service(
    browser: httpx2.AsyncClient, service_urls: dict[str, str], path: str, service: str, service_path: str
) -> None:
    arrived = (await browser.get(path)).json()

    assert (arrived["port"], arrived["url"]) == (port_of(service_urls[service]), service_path)


async def test_the_start_page_is_the_latest_one_that_was_written(
    front_door: FrontDoor, browser: httpx2.AsyncClient
) -> None:
    assert front_door.lan_url
    for text in ("Choose a person", "Choose another one"):
        write(front_door, f"<p>{text}</p>")
        page = await browser.get("/")

        assert (page.status_code, page.text) == (200, f"<p>{text}</p>")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert (await browser.get(front_door.lan_url)).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/metrics", "/health/live", "/docs", "/intake/metrics", "/notify/health/ready", "/sessions/f/token"),
        *("/intake/clinics/../metrics", "/intake/clinics/%2e%2e/metrics", "/intake/clinics", "/sign-in-now"),
    ],
)
async def test_every_other_path_is_not_found(browser: httpx2.AsyncClient, path: str) -> None:
    response = await browser.get(path)

    assert response.status_code == 404
    assert response.json()["title"] == "Not found."


@pytest.mark.parametrize("target", ["//", "//other.example/f/token", "*", "http://other.example/f/token", "http://["])
async def test_what_is_no_path_of_ours_is_not_found_and_stops_nothing(
    browser: httpx2.AsyncClient, front_door: FrontDoor, target: str
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(front_door.url))
    host = front_door.url.removeprefix("http://")
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())

    assert b" 404 " in await reader.readline()
    writer.close()
    assert (await browser.get("/f/token")).status_code == 200


async def test_only_listed_headers_reach_a_service(browser: httpx2.AsyncClient) -> None:
    listed = {name.lower(): f"value of {name}" for name in FORWARDED_HEADERS}
    claims = {"X-Forwarded-For": "1.1.1.1", "X-Forwarded-Host": "other.example", "X-User": "me", "Authorization": "x"}

    arrived = (await browser.post("/f/token", content=b"a=1", headers={**listed, **claims})).json()

    headers: dict[str, Any] = arrived["headers"]
    assert {name: headers[name] for name in listed} == listed
    added = {"host", "x-forwarded-for", "x-forwarded-proto", "connection", "content-length"}
    assert headers.keys() - listed.keys() == added
    assert (headers["x-forwarded-for"], headers["x-forwarded-proto"]) == ("127.0.0.1", "http")
    assert headers["host"] == browser.base_url.netloc.decode()
    assert arrived["body"] == "a=1"


async def test_all_cookies_and_redirects_arrive_unchanged(browser: httpx2.AsyncClient) -> None:
    answer, moved = await browser.get("/f/token"), await browser.get("/inbox/moved")

    assert len(answer.headers.get_list("set-cookie")) == 2
    assert (moved.status_code, moved.headers["location"]) == (303, "/inbox/1")


async def test_a_stream_is_not_buffered_and_ends_with_its_reader(
    browser: httpx2.AsyncClient, upstream: Upstream
) -> None:
    await upstream.events.put("data: 1\n\n")
    async with asyncio.timeout(10), browser.stream("GET", STREAM) as stream:
        chunks = stream.aiter_text()
        assert await anext(chunks) == "data: 1\n\n"
        await upstream.events.put("data: 2\n\n")
        assert await anext(chunks) == "data: 2\n\n"
        assert upstream.open_streams == 1

    async def has_ended() -> bool:
        return upstream.open_streams == 0

    await wait_until(has_ended)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", ""])
async def test_another_host_is_not_served(browser: httpx2.AsyncClient, host: str) -> None:
    assert (await browser.get("/f/token", headers={"Host": host})).status_code == 421


async def test_other_machines_find_the_forms_and_nothing_else(front_door: FrontDoor) -> None:
    assert front_door.lan_url
    async with httpx2.AsyncClient(base_url=front_door.lan_url, timeout=10) as phone:
        for path in ("/f/token", "/form.css"):
            assert (await phone.get(path)).status_code == 200, path
        for path in (
            "/",
            "/inbox/1",
            "/me",
            "/sign-in",
            "/intake/clinics/1",
            "/sessions/sessions/1",
            "/metrics",
            STREAM,
        ):
            assert (await phone.get(path)).status_code == 404, path
        forged_host = {"Host": front_door.url.removeprefix("http://")}
        assert (await phone.get("/inbox/1", headers=forged_host)).status_code == 421


async def test_a_service_that_is_away_is_reported_as_such(tmp_path: Path) -> None:
    port, closed_port = free_ports(2)
    door = create_front_door(tmp_path, port, dict.fromkeys(SERVICES, f"http://127.0.0.1:{closed_port}"))
    await asyncio.to_thread(door.server.start)
    try:
        async with httpx2.AsyncClient(base_url=door.url, timeout=10) as client:
            for method in ("GET", "POST"):
                response = await client.request(method, "/f/token", content=b"a=1")
                assert (response.status_code, response.json()["status"]) == (503, 503)
    finally:
        await asyncio.to_thread(door.server.stop)


@pytest.fixture
def secure_door(service_urls: dict[str, str], tmp_path: Path) -> FrontDoor:
    (port,) = free_ports(1)
    return create_front_door(tmp_path / "door", port, service_urls, has_tls=True)


async def test_it_has_a_certificate_of_its_own_if_asked(secure_door: FrontDoor) -> None:
    await asyncio.to_thread(secure_door.server.start)
    try:
        assert secure_door.certificate
        context = ssl.create_default_context(cafile=secure_door.certificate.file)
        async with httpx2.AsyncClient(base_url=secure_door.url, verify=context) as client:
            arrived = (await client.get("/f/token")).json()
        assert arrived["headers"]["x-forwarded-proto"] == "https"
        assert secure_door.url.startswith("https://localhost:")
        assert secure_door.certificate.key_file.stat().st_mode & 0o077 == 0
    finally:
        await asyncio.to_thread(secure_door.server.stop)
