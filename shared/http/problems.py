"""HTTP errors as problem details (RFC 9457): what is wrong, where, and what to do."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from shared.errors import NotFound, Rejected, Transient

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


class FieldError(BaseModel):
    """One error in a request."""

    pointer: str
    """The field, as a JSON pointer into the `body`, `query` or `path` of the request."""
    detail: str


class ProblemDetails(BaseModel):
    """An error as defined by RFC 9457."""

    type: str
    """Identifies the kind of problem; the same for every occurrence."""
    title: str
    status: int
    detail: str
    errors: list[FieldError] = []


class Problem(Exception):
    """Answers a request with problem details. `code` is a short name, such as `unknown-relationship`."""

    def __init__(self, status: int, code: str, title: str, detail: str, errors: Sequence[FieldError] = ()) -> None:
        super().__init__(f"{code}: {detail}")
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


async def _handle_problem(_request: Request, error: Problem) -> JSONResponse:
    return _problem_response(error.details)


async def _handle_invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
    field_errors = [FieldError(pointer="/" + "/".join(map(str, e["loc"])), detail=e["msg"]) for e in error.errors()]
    return _problem_response(
        ProblemDetails(
            type="urn:attune:problem:invalid-request",
            title="The request is not valid",
            status=422,
            detail="; ".join(f"{field_error.pointer}: {field_error.detail}" for field_error in field_errors),
            errors=field_errors,
        )
    )


async def _handle_rejected(_request: Request, error: Rejected) -> JSONResponse:
    status, title = (404, "Not found") if isinstance(error, NotFound) else (409, "Conflict with the current state")
    return _problem_response(
        ProblemDetails(type=f"urn:attune:problem:{error.code}", title=title, status=status, detail=str(error))
    )


async def _handle_http_exception(_request: Request, error: HTTPException) -> JSONResponse:
    text = str(error.detail)
    details = ProblemDetails(type="about:blank", title=text, status=error.status_code, detail=text)
    return _problem_response(details, dict(error.headers or {}))


async def _handle_transient(_request: Request, error: Transient) -> JSONResponse:
    log.warning("Request failed: a dependency is unavailable", reason=str(error))
    return _unavailable_response("A service that this request depends on is unavailable.")


async def _handle_unexpected(_request: Request, _error: Exception) -> JSONResponse:
    return _problem_response(  # the server logs the error with its traceback
        ProblemDetails(
            type="urn:attune:problem:unforeseen",
            title="Internal error",
            status=500,
            detail="Nothing that was answered with 2xx is lost. Please inform the operator of Attune.",
        )
    )


_HANDLERS: dict[type[Exception], Any] = {
    Problem: _handle_problem,
    RequestValidationError: _handle_invalid_request,
    Rejected: _handle_rejected,
    HTTPException: _handle_http_exception,
    Transient: _handle_transient,
    Exception: _handle_unexpected,
}


def shutdown_response() -> JSONResponse:
    """The response to a request that is cut short because the service shuts down."""
    return _unavailable_response("The service is shutting down before the request is done.")


def _unavailable_response(reason: str) -> JSONResponse:
    return _problem_response(
        ProblemDetails(
            type="urn:attune:problem:unavailable",
            title="Temporarily unavailable",
            status=503,
            detail=f"{reason} Nothing is lost; send the same request again.",
        ),
        {"Retry-After": "2"},
    )


def too_large_response(limit: int) -> JSONResponse:
    """The response to a body of more than `limit` bytes."""
    return _problem_response(
        ProblemDetails(
            type="urn:attune:problem:too-large",
            title="Too large",
            status=413,
            detail=f"The body is larger than the limit of {limit} bytes.",
        )
    )


def _describe_errors_as_problems(document: dict[str, Any]) -> dict[str, Any]:
    """Corrects the media type of errors: FastAPI describes them with the media type of the successful response."""
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                if any(
                    media_type.get("schema") == _PROBLEM_SCHEMA for media_type in response.get("content", {}).values()
                ):
                    response["content"] = {MEDIA_TYPE: {"schema": _PROBLEM_SCHEMA}}
    return document


_PROBLEM_SCHEMA = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}


def _problem_response(details: ProblemDetails, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(details.model_dump(), details.status, headers, media_type=MEDIA_TYPE)
