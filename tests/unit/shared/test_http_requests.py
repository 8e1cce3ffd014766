"""How every service answers requests that are not quite as it expects them, from programs and from people."""

from itertools import product
from typing import Any
from uuid import uuid4

import pytest

from shared.http.problems import MEDIA_TYPE
from tests.support.unreachable_service import open_ops, open_service
from tools.contracts.documents import SERVICES, create_application

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
every_service = pytest.mark.parametrize("service", SERVICES)


def paths_by_method(service: str) -> list[tuple[str, str]]:
    """Every JSON operation of a service, with a path that has valid ids."""
    document = create_application(service).openapi()
    return [
        (method.upper(), path)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "text/html" not in str(operation["responses"])
    ]


def fill(path: str) -> str:
    parts = {"{rater}": "client"}
    return "/".join(parts.get(part, str(uuid4()) if part.startswith("{") else part) for part in path.split("/"))


@every_service
async def test_an_unknown_query_parameter_is_rejected_on_every_json_route(service: str) -> None:
    operations = paths_by_method(service)
    async with open_service(service) as client:
        for method, path in operations:
            response = await client.request(method, fill(path), params={"dry-run": "true"}, json={})

            assert response.status_code == 422, (method, path, response.text)
            assert response.headers["content-type"] == MEDIA_TYPE
            assert "/query/dry-run" in {error["pointer"] for error in response.json()["errors"]}, (method, path)


async def test_of_very_many_errors_in_a_request_the_first_are_listed() -> None:
    """Tens of thousands fit into one request. Listing them all would keep everybody else waiting."""
    body = {"given_at": "2026-01-01T00:00:00Z", "ratings": {f"{number}": 9 for number in range(20_000)}}
    async with open_service("sessions") as client:
        response = await client.put(f"/sessions/{uuid4()}/feedback/client", json=body)

    assert response.status_code == 422
    assert len(response.content) < 50_000
    assert len(response.json()["errors"]) == 100
    assert response.json()["detail"].endswith("; and 19900 more errors")


@pytest.mark.parametrize(
    ("path", "field", "entry"), [("/relationships/{id}/aims", "aims", "fame"), ("/clinics/{id}", "crisis_numbers", 1)]
)
async def test_a_list_that_is_too_long_is_one_error(path: str, field: str, entry: object) -> None:
    """Half a million entries fit into one request, and an error for each takes many seconds."""
    async with open_service("intake") as client:
        response = await client.put(fill(path), json={field: [entry] * 20_000})

    assert [error["pointer"] for error in response.json()["errors"]].count(f"/body/{field}") == 1
    assert len(response.content) < 5_000


@every_service
async def test_a_json_body_that_names_a_field_twice_is_rejected(service: str) -> None:
    """Programs disagree about which of the two counts, and it may be the consent of a client."""
    operations = [(method, path) for method, path in paths_by_method(service) if method in ("PUT", "POST")]
    body, headers = b'{"nested": [{"given": false, "given": true}]}', {"Content-Type": "application/json"}
    async with open_service(service) as client:
        for method, path in operations:
            response = await client.request(method, fill(path), content=body, headers=headers)

            assert response.status_code == 422, (method, path, response.text)
            assert "Contains a field twice" in response.json()["detail"], (method, path)


async def test_the_error_names_the_parameters_that_exist() -> None:
    async with open_service("intake") as client:
        misspelt = await client.post(f"/clinics/{uuid4()}/caseload?dryRun=true", headers={"Content-Type": "text/csv"})
        several = await client.get(f"/clinics/{uuid4()}/relationships?most=5&After=x&limit=1")

    assert "the known ones are dry_run" in misspelt.json()["detail"]
    assert [error["pointer"] for error in several.json()["errors"]] == ["/query/After", "/query/limit"]


def numbers_and_booleans(service: str) -> list[tuple[str, str, str]]:
    """Method, path and name of each field of a JSON body that has a type other than text."""
    document = create_application(service).openapi()
    found = []
    for method, path in paths_by_method(service):
        content = document["paths"][path][method.lower()].get("requestBody", {}).get("content", {})
        reference = content.get("application/json", {}).get("schema", {}).get("$ref", "").rpartition("/")[2]
        properties = document["components"]["schemas"][reference]["properties"] if reference else {}
        for name, field in properties.items():
            types = {schema.get("type") for schema in [field, *field.get("anyOf", [])]}
            if types & {"integer", "number", "boolean"}:
                found.append((method, path, name))
    return found


@pytest.mark.parametrize(
    ("service", "known"),
    [("intake", {"cadence_days", "consent", "given"}), ("sessions", {"minutes"}), ("notify", {"useful"})],
)
async def test_a_number_in_a_json_body_is_a_number_and_not_text(service: str, known: set[str]) -> None:
    fields = numbers_and_booleans(service)
    assert {name for _, _, name in fields} >= known
    async with open_service(service) as client:
        for method, path, name in fields:
            for value in ("50", "true"):
                response = await client.request(method, fill(path), json={name: value})

                assert response.status_code == 422, (method, path, response.text)
                pointers = {error["pointer"] for error in response.json()["errors"]}
                assert f"/body/{name}" in pointers, (method, path, name, value)


async def test_pages_and_their_files_ignore_what_mail_gateways_append() -> None:
    async with open_service("sessions") as client:
        assert (await client.get("/form.css?utm_source=mail")).status_code == 200
    async with open_ops("sessions") as client:
        assert (await client.get("/metrics?x=1")).status_code == 200
    async with open_service("notify") as client:
        assert (await client.get("/inbox.js?utm_source=mail")).status_code == 200


@every_service
async def test_a_trailing_slash_is_not_redirected(service: str) -> None:
    async with open_service(service) as client:
        for method, path in [*paths_by_method(service), ("GET", "/f/token"), ("GET", "/inbox/x")]:
            response = await client.request(method, fill(path) + "/", json={})

            assert response.status_code in (404, 405), (method, path)
            assert "location" not in response.headers
            assert response.headers["content-type"] == MEDIA_TYPE


@pytest.mark.parametrize(
    ("service", "path", "status"),
    [
        ("sessions", "/F/token", 404),
        ("sessions", "/f/token/", 404),
        ("sessions", "/", 404),
        ("notify", "/inbox/6f1c2a34-0000-4000-8000-000000000001.", 404),
        ("notify", "/inbox/6f1c2a34-0000-4000-8000-000000000001/", 404),
        ("notify", "/inbox/me", 404),
        ("notify", "/", 404),
    ],
)
async def test_people_get_a_page_for_a_mistyped_address(service: str, path: str, status: int) -> None:
    async with open_service(service) as client:
        response = await client.get(path, headers=BROWSER)

    assert response.status_code == status
    assert_is_page(response)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data", b"without a boundary", 400),
        ("application/x-www-form-urlencoded", b"&".join(b"f%d=1" % i for i in range(3000)), 400),
        ("application/x-www-form-urlencoded", b"x" * 1_000_001, 413),
    ],
)
async def test_people_get_a_page_for_a_form_that_cannot_be_read(content_type: str, body: bytes, status: int) -> None:
    async with open_service("sessions") as client:
        response = await client.post("/f/token", content=body, headers={"Content-Type": content_type, **BROWSER})

    assert response.status_code == status
    assert_is_page(response)
    assert "open the link from your message again" in response.text


async def test_a_button_with_a_mistyped_address_gives_a_page() -> None:
    async with open_service("notify") as client:
        response = await client.post(f"/inbox/{uuid4()}/alerts/{uuid4()}/resolution/perhaps", headers=BROWSER)

    assert response.status_code == 404
    assert_is_page(response)


async def test_programs_get_problem_details_for_the_same_addresses() -> None:
    async with open_service("notify") as client:
        for path in ("/", f"/clinicians/{uuid4()}/inbox/", "/clinicians/x/inbox"):
            response = await client.get(path)

            assert response.status_code in (404, 422)
            assert response.headers["content-type"] == MEDIA_TYPE


def assert_is_page(response: Any) -> None:
    assert response.headers["content-type"].startswith("text/html")
    assert response.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "<h1>" in response.text


@every_service
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example:80"])
async def test_another_host_is_not_served(service: str, host: str) -> None:
    paths = ("/health/live", "/metrics", "/f/token", "/inbox/x", f"/relationships/{uuid4()}")
    async with open_service(service) as api, open_ops(service) as ops:
        for client, path in product((api, ops), paths):
            response = await client.get(path, headers={"Host": host})

            assert response.status_code == 421
            assert response.headers["content-type"] == MEDIA_TYPE
            assert "ALLOWED_HOSTS" in response.json()["detail"]


async def test_own_hosts_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "intake, https://Attune.clinic.example/,10.0.0.1:8000")
    hosts = ["127.0.0.1", "localhost:8001", "[::1]:8001", "intake:8000", "ATTUNE.clinic.example", "10.0.0.1"]
    async with open_service("sessions") as api, open_ops("sessions") as ops:
        for host in hosts:
            assert (await api.get("/form.css", headers={"Host": host})).status_code == 200, host
            assert (await ops.get("/metrics", headers={"Host": host})).status_code == 200, host


@every_service
async def test_no_answer_is_kept_by_a_cache_but_files_of_pages(service: str) -> None:
    async with open_service(service) as api, open_ops(service) as ops:
        for client, path in product((api, ops), ("/metrics", "/openapi.json", "/nothing", "/health/live")):
            assert (await client.get(path)).headers["cache-control"] == "no-store", path
    async with open_service("sessions") as client:
        assert "max-age" in (await client.get("/form.css")).headers["cache-control"]


@every_service
async def test_a_rejected_method_is_answered_with_all_methods_of_the_address(service: str) -> None:
    paths = create_application(service).openapi()["paths"]
    async with open_service(service) as client:
        for path, operations in paths.items():
            for method in {"DELETE", "OPTIONS"} - {name.upper() for name in operations}:
                response = await client.request(method, fill(path))

                assert response.status_code == 405, (method, path)
                allowed = {name.strip() for name in response.headers["allow"].split(",")}
                assert allowed - {"HEAD"} == {name.upper() for name in operations}, (method, path)
                assert ("HEAD" in allowed) == ("GET" in allowed), path


@every_service
async def test_every_query_parameter_of_the_openapi_document_is_known(service: str) -> None:
    """Also one that a dependency of the route takes."""
    paths = create_application(service).openapi()["paths"]
    async with open_service(service) as client:
        for path, operations in paths.items():
            for method, operation in operations.items():
                names = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "query"]
                invalid = dict.fromkeys(names, "☃")
                response = await client.request(method, fill(path), params={**invalid, "unknown": "1"})

                assert not any(f"/query/{name}: Unknown" in response.text for name in names), (method, path)
