"""What a request gets that is not known to be from a person or a machine: people a page, programs problem details."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from shared.http.error_pages import is_for_programs
from shared.http.problems import MEDIA_TYPE, ProblemDetails
from shared.identity.authentication import Unauthenticated, UntrustedRequest
from shared.identity.http import texts
from shared.identity.http.pages import HEADERS, render_notice, sign_in_path
from shared.identity.request_origin import SAFE_METHODS


def add_identity_handlers(app: FastAPI) -> None:
    """Answer requests that are not authenticated, or that another site may have sent."""
    handlers: dict[type[Exception], Any] = {
        Unauthenticated: _handle_unauthenticated,
        UntrustedRequest: _handle_untrusted_request,
    }
    for error_class, handler in handlers.items():
        app.add_exception_handler(error_class, handler)


async def _handle_unauthenticated(request: Request, error: Unauthenticated) -> Response:
    if not _is_for_people(request):
        challenge = 'Bearer error="invalid_token"' if error.is_token_invalid else "Bearer"
        return _problem(401, "Sign in first", error, {"WWW-Authenticate": challenge})
    if request.method in SAFE_METHODS:
        return RedirectResponse(sign_in_path(_path_of(request)), 303, HEADERS)
    return render_notice(texts.SIGNED_OUT_MEANWHILE)


async def _handle_untrusted_request(request: Request, error: UntrustedRequest) -> Response:
    return render_notice(texts.UNTRUSTED) if _is_for_people(request) else _problem(403, "Not done", error)


def _is_for_people(request: Request) -> bool:
    route = request.scope.get("route")
    return route is not None and not is_for_programs(route)


def _path_of(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def _problem(
    status: int, title: str, error: Unauthenticated | UntrustedRequest, headers: dict[str, str] | None = None
) -> Response:
    details = ProblemDetails(type=f"urn:attune:problem:{error.code}", title=title, status=status, detail=str(error))
    return JSONResponse(
        details.model_dump(), status, {"Cache-Control": "no-store", **(headers or {})}, media_type=MEDIA_TYPE
    )
