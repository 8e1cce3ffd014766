"""What the services answer over HTTP is what is written about it."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from shared.http.problems import MEDIA_TYPE
from tools.contracts import documents as contracts
from tools.contracts.documents import REGENERATE_COMMAND, SERVICES, read_committed, serialize

Operation = dict[str, Any]

openapi = cache(contracts.openapi_document)
every_service = pytest.mark.parametrize("service", SERVICES)


def operations(service: str) -> Iterator[tuple[str, Operation]]:
    """Every operation of a service, with its name."""
    for path, methods in openapi(service)["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


@every_service
def test_the_document_is_what_the_service_does(service: str) -> None:
    path = f"openapi/{service}.json"

    assert read_committed(path) == serialize(openapi(service)), f"docs/{path} is out of date; run: {REGENERATE_COMMAND}"


@every_service
def test_every_operation_says_what_it_is_for(service: str) -> None:
    for name, operation in operations(service):
        assert operation.get("summary"), name
        assert operation.get("description"), f"{name}: its function has no docstring"


@every_service
def test_an_error_is_told_as_problem_details_to_programs_and_as_a_page_to_people(service: str) -> None:
    for name, operation in operations(service):
        responses = operation["responses"]
        assert {"4XX", "5XX"} <= responses.keys(), name
        for status in ("4XX", "5XX"):
            assert set(responses[status]["content"]) <= {MEDIA_TYPE, "text/html"}, f"{name}: {status}"
            assert MEDIA_TYPE in responses[status]["content"], f"{name}: {status}"


@every_service
def test_every_operation_has_a_name_of_its_own(service: str) -> None:
    names = [operation["operationId"] for _, operation in operations(service)]

    assert len(names) == len(set(names))


@every_service
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
def test_every_service_says_how_it_is(service: str, path: str) -> None:
    assert f"GET {path}" in dict(operations(service))
