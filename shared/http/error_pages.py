"""Who reads a response: a program, which gets problem details, or a person, who gets a page."""

from collections.abc import Callable
from typing import Any

from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import Scope

ErrorPage = Callable[[int], Response]
"""The page that tells a person that a request failed with this status."""


def is_for_programs(route: APIRoute) -> bool:
    """Whether the route returns JSON. The others return pages, and the files and texts that the API does not list."""
    return route.include_in_schema and not _has_response_class(route, HTMLResponse, PlainTextResponse)


def find_error_page(scope: Scope) -> ErrorPage | None:
    """The error page of the application if a person made the request, else None.

    Without a route, for instance after a typing error in the address, the Accept header tells browsers from programs.
    """
    error_page: ErrorPage | None = getattr(scope["app"].state, "error_page", None)
    route = scope.get("route")
    if route is None:
        is_for_people = "text/html" in Headers(scope=scope).get("accept", "")
    else:
        is_for_people = _has_response_class(route, HTMLResponse)
    return error_page if is_for_people else None


def _has_response_class(route: Any, *response_classes: type[Response]) -> bool:
    response_class = getattr(route, "response_class", None)
    return isinstance(response_class, type) and issubclass(response_class, response_classes)
