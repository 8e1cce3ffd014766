"""HTTP errors as problem details (RFC 9457): what was wrong, where, and what to do."""

from collections.abc import Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from shared.errors import Refused, Transient, Unknown

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"


class Wrong(BaseModel):
    """One thing that was wrong with a request."""

    pointer: str
    """Where, as a JSON pointer into the request's `body`, `query` or `path`."""
    detail: str


class ProblemDetails(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    """Identifies the kind of problem; the same for every occurrence."""
    title: str
    status: int
    detail: str
    errors: list[Wrong] = []


class Problem(Exception):
    """Answers a request with problem details. `kind` is a short name, for instance `unknown-relationship`."""

    def __init__(self, status: int, kind: str, title: str, detail: str, errors: Sequence[Wrong] = ()) -> None:
        super().__init__(f"{kind}: {detail}")
        self.details = ProblemDetails(
            type=f"urn:attune:problem:{kind}", title=title, status=status, detail=detail, errors=list(errors)
        )


RESPONSES: dict[int | str, dict[str, Any]] = {
    "4XX": {"model": ProblemDetails, "description": "The request cannot be done as it is."},
    "5XX": {"model": ProblemDetails, "description": "Try again later."},
}


def answer_with_problems(app: FastAPI) -> None:
    """Have every error of `app` answered with problem details, and described so."""
    for error_class, handler in _ANSWERS.items():
        app.add_exception_handler(error_class, handler)
    generate_openapi = app.openapi
    app.openapi = lambda: _described_as_problems(generate_openapi())  # type: ignore[method-assign]


async def _problem(_request: Request, error: Problem) -> JSONResponse:
    return _answer(error.details)


async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
    field_errors = [Wrong(pointer="/" + "/".join(map(str, e["loc"])), detail=e["msg"]) for e in error.errors()]
    return _answer(
        ProblemDetails(
            type="urn:attune:problem:invalid-request",
            title="The request is not valid",
            status=422,
            detail="; ".join(f"{field_error.pointer}: {field_error.detail}" for field_error in field_errors),
            errors=field_errors,
        )
    )


async def _refused(_request: Request, error: Refused) -> JSONResponse:
    status, title = (404, "Not known here") if isinstance(error, Unknown) else (409, "Not possible as things are")
    return _answer(
        ProblemDetails(type=f"urn:attune:problem:{error.kind}", title=title, status=status, detail=str(error))
    )


async def _http(_request: Request, error: HTTPException) -> JSONResponse:
    text = str(error.detail)
    details = ProblemDetails(type="about:blank", title=text, status=error.status_code, detail=text)
    return _answer(details, dict(error.headers or {}))


async def _unavailable(_request: Request, error: Transient) -> JSONResponse:
    log.warning("could not answer", reason=str(error))
    return _later("Something we depend on does not answer.")


async def _unforeseen(_request: Request, _error: Exception) -> JSONResponse:
    return _answer(  # the server logs the error with its place
        ProblemDetails(
            type="urn:attune:problem:unforeseen",
            title="This is our mistake",
            status=500,
            detail="Nothing that was answered with 2xx is lost. Please tell whoever operates Attune.",
        )
    )


_ANSWERS: dict[type[Exception], Any] = {
    Problem: _problem,
    RequestValidationError: _invalid,
    Refused: _refused,
    HTTPException: _http,
    Transient: _unavailable,
    Exception: _unforeseen,
}


def ending() -> JSONResponse:
    """The answer to a request that is cut short because the service ends."""
    return _later("This process ends before it is done.")


def _later(why: str) -> JSONResponse:
    return _answer(
        ProblemDetails(
            type="urn:attune:problem:unavailable",
            title="Not possible just now",
            status=503,
            detail=f"{why} Nothing is lost; send the same request again.",
        ),
        {"Retry-After": "2"},
    )


def too_large(limit: int) -> JSONResponse:
    """The answer to a body of more than `limit` bytes."""
    return _answer(
        ProblemDetails(
            type="urn:attune:problem:too-large",
            title="Too large",
            status=413,
            detail=f"The body is larger than {limit} bytes, which is the most that is taken.",
        )
    )


def _described_as_problems(document: dict[str, Any]) -> dict[str, Any]:
    """FastAPI describes every answer by the media type of a route's good one."""
    for path in document["paths"].values():
        for operation in path.values():
            for response in operation["responses"].values():
                if any(
                    media_type.get("schema") == _OF_A_PROBLEM for media_type in response.get("content", {}).values()
                ):
                    response["content"] = {MEDIA_TYPE: {"schema": _OF_A_PROBLEM}}
    return document


_OF_A_PROBLEM = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}


def _answer(details: ProblemDetails, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(details.model_dump(), details.status, headers, media_type=MEDIA_TYPE)
