"""A service starts only if the table and its routes agree."""

from collections.abc import Iterable, Iterator

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts

from shared.access.table import ROWS, Row, Service

Route = tuple[str, str]
"""Method and path."""


class TableIncomplete(Exception):
    """A route has no row in the table, or a row no route: add or remove the row in `shared/access/table`."""


def require_rows(app: FastAPI, service: Service, rows: Iterable[Row] = ROWS) -> None:
    """Raise TableIncomplete unless every route of `app` has a row, and every row of the service a route."""
    in_table = {(row.method, row.path) for row in rows if row.service == service}
    in_app = set(routes_of(app))
    problems = [
        *(f"{method} {path} has no row" for method, path in sorted(in_app - in_table)),
        *(f"the row {method} {path} has no route" for method, path in sorted(in_table - in_app)),
    ]
    if problems:
        raise TableIncomplete(f"{service}: {'; '.join(problems)}")


def routes_of(app: FastAPI) -> Iterator[Route]:
    """Every route of an application. One without methods, such as a mounted application, is `*`: no row allows it."""
    for route in iter_route_contexts(app.routes):
        for method in route.methods or {"*"}:
            yield method, str(route.path)
