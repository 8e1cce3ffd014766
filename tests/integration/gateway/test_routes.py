"""Which paths and which headers reach a service."""

from uuid import uuid4

import httpx2
import pytest

from tests.integration.gateway.conftest import PASSWORD
from tools.contracts.documents import SERVICES
from tools.sandbox.servers.front_door_routes import FORWARDED_HEADERS

pytestmark = pytest.mark.integration

STAFF = ("staff", PASSWORD)
ADDED_HEADERS = {"host", "x-forwarded-for", "x-forwarded-proto"}


@pytest.mark.parametrize(
    ("path", "service", "service_path"),
    [
        ("/f/token", "sessions", "/f/token"),
        ("/form.css", "sessions", "/form.css"),
        ("/inbox/1", "notify", "/inbox/1"),
        ("/inbox.js", "notify", "/inbox.js"),
        ("/sign-in", "intake", "/sign-in"),
        ("/sign-in/callback", "intake", "/sign-in/callback"),
        ("/me", "intake", "/me"),
        ("/intake/clinics/1", "intake", "/clinics/1"),
        ("/sessions/sessions/1/missed", "sessions", "/sessions/1/missed"),
        ("/alliance/relationships/1/trajectory", "alliance", "/relationships/1/trajectory"),
        ("/notify/alerts/1", "notify", "/alerts/1"),
        ("/clinicians/0a/inbox/stream", "notify", "/clinicians/0a/inbox/stream"),
        ("/notify/clinicians/0a/inbox/stream", "notify", "/clinicians/0a/inbox/stream"),
    ],
)
async def test_a_listed_path_leads_to_its_service(
    gateway: httpx2.AsyncClient, path: str, service: str, service_path: str
) -> None:
    arrived = (await gateway.get(path, auth=STAFF)).json()

    assert (arrived["service"], arrived["path"]) == (service, service_path)


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize(
    "path",
    [
        *("/metrics", "/health/live", "/health/ready", "/docs", "/openapi.json", "/", "/nothing"),
        *("/f/token", "/form.css", "/sign-in", "/inbox/1", "/%6detrics", "/clinics/../metrics", "//metrics"),
        "/clinics/%2e%2e/metrics",
    ],
)
async def test_every_other_path_is_not_found(gateway: httpx2.AsyncClient, service: str, path: str) -> None:
    for prefix in (f"/{service}", ""):
        if prefix or path not in ("/f/token", "/form.css", "/sign-in", "/inbox/1"):
            response = await gateway.get(prefix + path, auth=STAFF)

            assert response.status_code == 404, prefix
            assert response.json()["title"] == "Not found."


async def test_only_listed_headers_reach_a_service(gateway: httpx2.AsyncClient) -> None:
    listed = {name.lower(): f"value of {name}" for name in FORWARDED_HEADERS}
    claims = dict.fromkeys(
        ["X-User", "X-Forwarded-User", "X-Remote-User", "X-Auth-Request-Email", "X-Forwarded-Host", "Remote-User"], "me"
    )

    response = await gateway.post(f"/f/{uuid4()}", content=b"a=1", headers={**listed, **claims, "X-Forwarded-For": "1"})

    arrived = response.json()["headers"]
    assert {name: arrived[name] for name in listed} == listed
    assert arrived.keys() - listed.keys() - {"content-length", "connection"} == ADDED_HEADERS
    assert (arrived["x-forwarded-for"], arrived["x-forwarded-proto"]) == ("127.0.0.1", "https")


async def test_the_password_stays_at_the_gateway(gateway: httpx2.AsyncClient) -> None:
    arrived = (await gateway.get("/intake/clinics/1", auth=STAFF)).json()["headers"]

    assert "authorization" not in arrived
