"""The gateway and the demo's front door lead to every route of every service, and to nothing else."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest

from shared.access.acting_role import ROLE_HEADER
from shared.access.table import ROWS
from shared.identity.authentication import LIVE_HEADER
from shared.identity.form_tokens import HEADER as FORM_TOKEN_HEADER
from tools.contracts.documents import SERVICES, create_application
from tools.sandbox.servers.front_door_routes import APIS, FORWARDED_HEADERS, PAGES
from tools.sandbox.servers.process import PROJECT_ROOT

CONFIGURATION = (PROJECT_ROOT / "deploy/gateway/nginx.conf").read_text(encoding="utf-8")
LOCATION = re.compile(r"location (?P<kind>= |~ |)(?P<path>/\S*|\^\S+) \{[^}]*?set \$service (?P<service>\w+);")


def gateway_routes() -> set[tuple[str, str]]:
    """The start of each path that the gateway passes on, as a regular expression, and the service."""
    return {
        (path.removeprefix("^") if kind == "~ " else re.escape(path) + ("$" if kind == "= " else ""), service)
        for kind, path, service in LOCATION.findall(CONFIGURATION)
    }


def front_door_routes() -> set[tuple[str, str]]:
    """The same of the front door."""
    return {*PAGES.items(), *((f"/{service}{paths}", service) for service, paths in APIS.items())}


def service_paths() -> Iterator[tuple[str, str]]:
    """Every service, and a path of each of its routes."""
    for service in SERVICES:
        for path in create_application(service).openapi()["paths"]:
            yield service, path
    for row in ROWS:
        yield row.service, row.path


def leads(path: str, service: str, routes: set[tuple[str, str]]) -> bool:
    return {target for pattern, target in routes if re.match(pattern, path)} == {service}


def test_the_gateway_and_the_front_door_have_the_same_routes() -> None:
    stream = r"/(notify/)?clinicians/[0-9a-f-]+/inbox/stream$"  # with both prefixes: it is not buffered

    assert {pattern.replace("(notify/)?", "") for pattern, _ in gateway_routes()} == {p for p, _ in front_door_routes()}
    assert {service for _, service in gateway_routes()} == set(SERVICES)
    assert (stream, "notify") in gateway_routes()


def test_the_gateway_and_the_front_door_pass_on_the_same_headers() -> None:
    passed_on = re.findall(r"proxy_set_header (\S+) \$http_(\w+);", CONFIGURATION)

    assert {name for name, _ in passed_on} == {*FORWARDED_HEADERS, "Host"}
    assert all(name.lower().replace("-", "_") == variable for name, variable in passed_on)
    assert {ROLE_HEADER, LIVE_HEADER, FORM_TOKEN_HEADER} <= set(FORWARDED_HEADERS)


def test_every_route_of_every_service_can_be_reached() -> None:
    for service, template in service_paths():
        path = re.sub(r"\{\w+\}", str(uuid4()), template)

        for routes in (gateway_routes(), front_door_routes()):
            assert leads(path, service, routes) or leads(f"/{service}{path}", service, routes), (service, template)


@pytest.mark.parametrize("path", ["/metrics", "/health/live", "/health/ready", "/docs", "/openapi.json"])
def test_nothing_leads_to_what_operators_read(path: str) -> None:
    for prefix in ("", *(f"/{service}" for service in SERVICES)):
        assert not any(re.match(pattern, prefix + path) for pattern, _ in gateway_routes())
