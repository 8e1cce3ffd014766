"""The OpenAPI documents match the HTTP interfaces of the services."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from services.intake.domain.caseload_csv import COLUMNS
from shared.http.problems import MEDIA_TYPE
from tools.contracts import documents as contracts
from tools.contracts.documents import REGENERATE_COMMAND, SERVICES, read_committed, serialize

Operation = dict[str, Any]

openapi = cache(contracts.openapi_document)
every_service = pytest.mark.parametrize("service", SERVICES)


def operations(service: str) -> Iterator[tuple[str, Operation]]:
    """All operations of a service, with method and path."""
    for path, methods in openapi(service)["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@every_service
def test_the_document_is_up_to_date(service: str) -> None:
    path = f"openapi/{service}.json"

    assert read_committed(path) == serialize(openapi(service)), f"docs/{path} is out of date; run: {REGENERATE_COMMAND}"


@every_service
def test_every_operation_has_a_summary_and_a_description(service: str) -> None:
    for name, operation in operations(service):
        assert operation.get("summary"), name
        assert operation.get("description"), f"{name}: its function has no docstring"


@every_service
def test_an_error_is_problem_details_for_programs_or_a_page_for_people(service: str) -> None:
    for name, operation in operations(service):
        responses = operation["responses"]
        assert {"4XX", "5XX"} <= responses.keys(), name
        for status in ("4XX", "5XX"):
            assert set(responses[status]["content"]) <= {MEDIA_TYPE, "text/html"}, f"{name}: {status}"
            assert MEDIA_TYPE in responses[status]["content"], f"{name}: {status}"


@every_service
def test_an_error_of_a_page_is_a_page_and_a_redirect_has_no_content(service: str) -> None:
    for name, operation in operations(service):
        responses = operation["responses"]
        is_page = any("text/html" in response.get("content", {}) for response in responses.values())
        for status in ("4XX", "5XX"):
            assert ("text/html" in responses[status]["content"]) == is_page, f"{name}: {status}"
        assert not any("content" in responses[status] for status in responses if status.startswith("3")), name


@every_service
def test_every_operation_has_a_unique_id(service: str) -> None:
    names = [operation["operationId"] for _, operation in operations(service)]

    assert len(names) == len(set(names))


@every_service
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_the_api_has_no_health_and_metrics_endpoints(service: str, path: str) -> None:
    assert f"GET {path}" not in dict(operations(service))


def test_the_import_of_a_caseload_names_the_columns_of_its_file() -> None:
    body = dict(operations("intake"))["POST /clinics/{clinic_id}/caseload"]["requestBody"]

    assert [column for column in COLUMNS if f"`{column}`: {COLUMNS[column]}" not in body["description"]] == []
