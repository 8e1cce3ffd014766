"""Query parameters: an unknown one is rejected, because it is probably a misspelt one that would be ignored."""

from collections.abc import Iterator
from typing import Annotated

from fastapi import Query, Request
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from pydantic import BeforeValidator

from shared.http.error_pages import is_for_programs


def require_digits(value: object) -> object:
    """Rejects what int() accepts besides digits: `1_4` would be 14."""
    if isinstance(value, str) and not (value.isascii() and value.isdigit()):
        raise ValueError("is not a whole number")
    return value


PageNumber = Annotated[int, Query(ge=1, le=10_000), BeforeValidator(require_digits)]
"""The number of a page of a list; the first is 1."""


async def reject_unknown_query_parameters(request: Request) -> None:
    """Raises RequestValidationError if the route is for programs and does not have all the parameters of the request.

    Pages and forms ignore unknown parameters: mail gateways and messengers add their own to links.
    """
    route = request.scope["route"]
    if not is_for_programs(route):
        return
    known = list(dict.fromkeys(_known_parameters(route.dependant)))
    unknown = [name for name in dict.fromkeys(request.query_params) if name not in known]
    if unknown:
        hint = f"the known ones are {', '.join(known)}" if known else "there are none here"
        raise RequestValidationError(
            [
                {"type": "unknown_parameter", "loc": ("query", name), "msg": f"Unknown query parameter; {hint}"}
                for name in unknown
            ]
        )


def _known_parameters(dependant: Dependant) -> Iterator[str]:
    """Those of the route and of what it depends on."""
    yield from (parameter.alias for parameter in dependant.query_params)
    for dependency in dependant.dependencies:
        yield from _known_parameters(dependency)
