"""HTTP errors as problem details (RFC 9457): what is wrong, where, and what to do."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import Field
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match
from starlette.types import Scope

from shared.errors import Busy, Forbidden, Invalid, NotFound, Rejected, Transient
from shared.http.error_pages import find_error_page
from shared.runtime.model import Model

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
MAX_LISTED_ERRORS = 100
"""A request with more errors usually repeats the same few. One of a megabyte can have half a million."""
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
"""What a route can have."""


class FieldError(Model):
    """One error in a request."""

    pointer: str
    """The field, as a JSON pointer into the `body`, `query` or `path` of the request."""
    detail: str


class ProblemDetails(Model):
    """An error as defined by RFC 9457."""

    type: str
    """Identifies the kind of problem; the same for every occurrence."""
    title: str
    status: int
    detail: str
    errors: list[FieldError] = Field(default=[])


class Problem(Exception):
    """Answers a request with problem details. `code` is a short name, such as `unknown-relationship`."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.headers = headers
        self.details = ProblemDetails(
            type=f"urn:attune:problem:{code}", title=title, status=status, detail=detail, errors=list(errors)
        )


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemDetails, "description": "The request was rejected."},
    "5XX": {"model": ProblemDetails, "description": "Try again later."},
}


def add_problem_handlers(app: FastAPI) -> None:
    """Answer every error of `app` with problem details, and describe it so in the OpenAPI document."""
    for error_class, handler in _HANDLERS.items():
        app.add_exception_handler(error_class, handler)
    generate_openapi = app.openapi
    app.openapi = lambda: _describe_errors_as_problems(generate_openapi())  # type: ignore[method-assign]


async def _handle_problem(request: Request, error: Problem) -> Response:
    return _problem_response(request.scope, error.details, error.headers)


async def _handle_invalid_request(request: Request, error: RequestValidationError) -> Response:
    errors, total = error.errors()[:MAX_LISTED_ERRORS], len(error.errors())
    field_errors = [FieldError(pointer="/" + "/".join(map(str, e["loc"])), detail=e["msg"]) for e in errors]
    if find_error_page(request.scope) and all(e["loc"][0] == "path" for e in errors):
        details = _http_problem(404, "Not Found")  # to a person, an address with a typing error is one without a page
    else:
        described = [f"{field_error.pointer}: {field_error.detail}" for field_error in field_errors]
        more = [f"and {total - len(errors)} more errors"] if total > len(errors) else []
        details = ProblemDetails(
            type="urn:attune:problem:invalid-request",
            title="The request is not valid",
            status=422,
            detail="; ".join([*described, *more]),
            errors=field_errors,
        )
    return _problem_response(request.scope, details)


async def _handle_rejected(request: Request, error: Rejected) -> Response:
    status, title = next(answer for error_class, answer in _REJECTIONS.items() if isinstance(error, error_class))
    details = ProblemDetails(type=f"urn:attune:problem:{error.code}", title=title, status=status, detail=str(error))
    return _problem_response(request.scope, details)


async def _handle_http_exception(request: Request, error: HTTPException) -> Response:
    details = _http_problem(error.status_code, str(error.detail))
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(_find_methods(request))
    return _problem_response(request.scope, details, headers)


def _find_methods(request: Request) -> list[str]:
    """All methods of the address. Starlette names only those of the first route that has the path."""
    return [method for method in METHODS if any(_has(route, method, request.scope) for route in request.app.routes)]


def _has(route: BaseRoute, method: str, scope: Scope) -> bool:
    asked = {"HEAD": "GET"}.get(method, method)  # HEAD is answered wherever GET is
    return route.matches({**scope, "method": asked})[0] is Match.FULL


async def _handle_transient(request: Request, error: Transient) -> Response:
    log.warning("Request failed: a dependency is unavailable", reason=str(error))
    return _unavailable_response(request.scope, "A service that this request depends on is unavailable.")


async def _handle_busy(request: Request, error: Busy) -> Response:
    details = ProblemDetails(
        type="urn:attune:problem:busy", title="Busy", status=503, detail=f"{error} Send the same request again."
    )
    return _problem_response(request.scope, details, {"Retry-After": "2"})


async def _handle_unexpected(request: Request, _error: Exception) -> Response:
    details = ProblemDetails(
        type="urn:attune:problem:unforeseen",
        title="Internal error",
        status=500,
        detail="Nothing that was answered with 2xx is lost. Please inform the operator of Attune.",
    )
    return _problem_response(request.scope, details)  # the server logs the error with its traceback


_REJECTIONS: dict[type[Rejected], tuple[int, str]] = {
    NotFound: (404, "Not found"),
    Forbidden: (403, "Not allowed"),
    Invalid: (422, "The request is not valid"),
    Rejected: (409, "Conflict with the current state"),
}
"""Status and title of each class of rejections; the first that fits counts."""
_HANDLERS: dict[type[Exception], Any] = {
    Problem: _handle_problem,
    RequestValidationError: _handle_invalid_request,
    Rejected: _handle_rejected,
    HTTPException: _handle_http_exception,
    Busy: _handle_busy,
    Transient: _handle_transient,
    Exception: _handle_unexpected,
}


def shutdown_response(scope: Scope) -> Response:
    """The response to a request that is cut short because the service shuts down."""
    return _unavailable_response(scope, "The service is shutting down before the request is done.")


def _unavailable_response(scope: Scope, reason: str) -> Response:
    details = ProblemDetails(
        type="urn:attune:problem:unavailable",
        title="Temporarily unavailable",
        status=503,
        detail=f"{reason} Nothing is lost; send the same request again.",
    )
    return _problem_response(scope, details, {"Retry-After": "2"})


def unknown_host_response(scope: Scope) -> Response:
    """The response to a request for a host that is not ours."""
    details = ProblemDetails(
        type="urn:attune:problem:unknown-host",
        title="Not this host",
        status=421,
        detail="The Host of the request is not one of this service. If it should be, add it to ALLOWED_HOSTS.",
    )
    return _problem_response(scope, details)


def too_large_response(scope: Scope, limit: int) -> Response:
    """The response to a body of more than `limit` bytes."""
    details = ProblemDetails(
        type="urn:attune:problem:too-large",
        title="Too large",
        status=413,
        detail=f"The body is larger than the limit of {limit} bytes.",
    )
    return _problem_response(scope, details)


def _describe_errors_as_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Corrects what FastAPI derives from the class of the successful response: the content of errors and redirects."""
    for path in document["paths"].values():
        for operation in path.values():
            content = _error_content(operation)
            for status, response in operation["responses"].items():
                if status.startswith("3"):
                    response.pop("content", None)
                elif any(each.get("schema") == _PROBLEM_SCHEMA for each in response.get("content", {}).values()):
                    response["content"] = content
    return document


def _error_content(operation: dict[str, Any]) -> dict[str, Any]:
    """Problem details; from a route that returns pages also a page, unless the request does not get as far as it."""
    is_page = any("text/html" in response.get("content", {}) for response in operation["responses"].values())
    page = {"text/html": {"schema": {"type": "string"}}} if is_page else {}
    return {MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA}, **page}


_PROBLEM_SCHEMA = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}


def _http_problem(status: int, text: str) -> ProblemDetails:
    return ProblemDetails(type="about:blank", title=text, status=status, detail=text)


def _problem_response(scope: Scope, details: ProblemDetails, headers: Mapping[str, str] | None = None) -> Response:
    """The problem details, or a page if a person made the request."""
    error_page = find_error_page(scope)
    if error_page is None:
        response: Response = JSONResponse(details.model_dump(), details.status, media_type=MEDIA_TYPE)
    else:
        response = error_page(details.status)
    response.headers.update({"Cache-Control": "no-store", **(headers or {})})
    return response
