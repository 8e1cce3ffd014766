"""The table of routes and roles covers every route of every service, and its document is current."""

import pytest
from fastapi.responses import HTMLResponse
from fastapi.routing import iter_route_contexts

from shared.access.routes import require_rows, routes_of
from shared.access.table import ROWS
from tools.contracts.documents import (
    REGENERATE_COMMAND,
    SERVICES,
    create_application,
    documents,
    read_committed,
)


def test_the_document_is_up_to_date() -> None:
    assert read_committed("access.md") == documents()["access.md"], (
        f"docs/access.md is out of date; run: {REGENERATE_COMMAND}"
    )


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_has_a_row(service: str) -> None:
    in_table = {(row.method, row.path) for row in ROWS if row.service == service}

    assert set(routes_of(create_application(service))) - in_table == set()


@pytest.mark.parametrize("service", ["sessions", "alliance", "notify"])
def test_every_row_has_a_route(service: str) -> None:
    require_rows(create_application(service), service)  # type: ignore[arg-type]


@pytest.mark.parametrize("service", SERVICES)
def test_a_row_says_whether_people_get_a_page(service: str) -> None:
    pages = {
        (method, str(route.path))
        for route in iter_route_contexts(create_application(service).routes)
        for method in route.methods or ()
        if getattr(route, "response_class", None) is HTMLResponse and getattr(route, "include_in_schema", False)
    }
    rows = [row for row in ROWS if row.service == service]
    existing = set(routes_of(create_application(service)))

    assert {(row.method, row.path) for row in rows if row.is_page} & existing == pages
    assert {(row.method, row.path) for row in rows if not row.is_page} & pages == set()
