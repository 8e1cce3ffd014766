"""What schemathesis cannot know: values of our formats, and the requests that are added by hand.

Schemathesis imports this module by its name in schemathesis.toml. It adds a case with each edge value to each field
that has the format, and a case with an unknown query parameter to each operation.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from zoneinfo import available_timezones

import schemathesis
from hypothesis import strategies as st
from schemathesis import Case as SchemathesisCase
from schemathesis import CheckContext, HookContext, Response

from services.intake.domain.caseload_csv import COLUMNS

Case = SchemathesisCase[Any]

YEARS = (datetime(1901, 1, 1), datetime(2199, 12, 31, 23, 59, 59))  # noqa: DTZ001 - the zone is drawn
NO_ZONES = {"localtime", "Factory"}

EDGE_VALUES: Mapping[str, Mapping[str, bool]] = {
    "date-time": {
        "1901-01-01T00:00:00Z": True,
        "1901-01-01T00:30:00+01:00": False,
        "1900-12-31T23:30:00-01:00": True,
        "1900-12-31T23:59:59.999999Z": False,
        "2199-12-31T23:59:59.999999Z": True,
        "2199-12-31T23:30:00-01:00": False,
        "2200-01-01T00:30:00+01:00": True,
        "2200-01-01T00:00:00Z": False,
        "0001-01-01T00:00:00+14:00": False,
        "9999-12-31T23:59:59-14:00": False,
        "2026-03-29T02:30:00+01:00": True,
        "2026-11-10": False,
        "2026-11-10T10:00:00": False,
        "20261110": False,
    },
    "iana-time-zone": {
        "Europe/Berlin": True,
        "Etc/GMT+12": True,
        "UTC": True,
        "localtime": False,
        "Factory": False,
        "europe/berlin": False,
        "../../etc/passwd": False,
        "+01:00": False,
    },
    "visible-text": {
        "Praxis für Therapie": True,
        "می‌خواهم": True,  # with a joiner
        "a\x00b": False,
        "a\nb": False,
        "a\u202eb": False,
        "\u200b": False,
        " ": False,
    },
}
"""Values of each format, and whether they are valid."""
REFUSED_EARLY = (400, 404, 405, 415, 422)
"""Statuses of requests that are malformed, or about something unknown."""
UNKNOWN_PARAMETER = "dry-run"
"""Misspelt: where it is known, it is `dry_run`."""

_RECENT = st.timedeltas(timedelta(days=-90), timedelta(days=1)).map(lambda since: datetime.now(UTC) + since)
_ANY_TIME = st.datetimes(*YEARS, timezones=st.just(UTC))
schemathesis.openapi.format("date-time", st.one_of(_RECENT, _ANY_TIME).map(datetime.isoformat))
schemathesis.openapi.format("iana-time-zone", st.sampled_from(sorted(available_timezones() - NO_ZONES)))
schemathesis.openapi.format(
    "visible-text",
    st.text(st.characters(exclude_categories=("C", "Zl", "Zp")), min_size=1).filter(str.strip),
)
# Nobody listens there, and nothing is sent: a URL that is made up could be somebody's.
schemathesis.openapi.format("iri", st.from_regex(r"http://127\.0\.0\.1:9/[a-z]{0,20}", fullmatch=True))

_CELLS = st.sampled_from(
    ("", "yes", "7", "relief|coping", "C-7", "1901-01-01", "2026-01-31T10:00:00+01:00", "\x00", '"')
)
_ROWS = st.lists(st.lists(_CELLS, min_size=len(COLUMNS), max_size=len(COLUMNS)), max_size=3)
schemathesis.openapi.media_type(
    "text/csv", _ROWS.map(lambda rows: "\n".join(",".join(cells) for cells in (COLUMNS, *rows)).encode())
)


@schemathesis.hook
def before_add_examples(context: HookContext, examples: list[Case]) -> None:
    """Adds to each operation what schemathesis would hardly ever draw."""
    for example in examples[:1]:
        examples.append(_variant(example, query={UNKNOWN_PARAMETER: "true"}))
        for field, format_name in _formatted_fields(example):
            examples += [
                _variant(example, body={**_fields(example), field: value}) for value in EDGE_VALUES[format_name]
            ]


@schemathesis.check
def edge_values_are_rejected_only_if_they_are_invalid(_: CheckContext, response: Response, case: Case) -> None:
    """In a body that is valid otherwise, or not."""
    if _was_not_routed(response) or _unknown_parameters(response, case):
        return
    for field, format_name in _formatted_fields(case):
        is_valid = EDGE_VALUES[format_name].get(str(_fields(case)[field]))
        is_rejected = f"/body/{field}" in _pointers(response)
        if is_valid is not None:
            assert is_rejected != is_valid, f"{field} {_fields(case)[field]} is {'valid' if is_valid else 'invalid'}"


@schemathesis.check
def unknown_query_parameters_are_rejected_only_for_programs(_: CheckContext, response: Response, case: Case) -> None:
    """Links to pages get parameters from mail programs."""
    unknown = _unknown_parameters(response, case)
    if _was_not_routed(response) or not unknown:
        return
    if _is_page(case):
        assert not any(pointer.startswith("/query/") for pointer in _pointers(response))
    else:
        assert response.status_code == 422, f"unknown query parameters {unknown} are accepted"


@schemathesis.check
class EveryOperationReachesItsRules:
    """If all that is answered is that something is unknown or invalid, prepared_services.py lacks what is needed."""

    def __init__(self) -> None:
        self._has_reached: dict[str, bool] = {}

    def after_response(self, _: CheckContext, response: Response, case: Case) -> None:
        label = case.operation.label
        self._has_reached[label] = self._has_reached.get(label, False) or response.status_code not in REFUSED_EARLY

    def after_run(self, _: CheckContext) -> None:
        not_reached = [label for label, has_reached in self._has_reached.items() if not has_reached]
        assert not not_reached, f"only ever answered with {REFUSED_EARLY}: {', '.join(not_reached)}"


def _variant(case: Case, **changes: Any) -> Case:
    parts = {name: getattr(case, name) for name in ("path_parameters", "headers", "query", "body", "media_type")}
    variant: Case = case.operation.Case(**{**parts, **changes})
    return variant


def _formatted_fields(case: Case) -> Iterator[tuple[str, str]]:
    """The fields of the body for which there are edge values, each with its format."""
    content = _declared(case).get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema", {})
    for name, field in _resolve(case, schema).get("properties", {}).items():
        if field.get("format") in EDGE_VALUES and name in _fields(case):
            yield name, field["format"]


def _fields(case: Case) -> dict[str, Any]:
    return case.body if isinstance(case.body, dict) else {}


def _declared(case: Case) -> Mapping[str, Any]:
    """The operation as its service declares it."""
    operation: Mapping[str, Any] = case.operation.schema.raw_schema["paths"][case.path][case.operation.method.lower()]
    return operation


def _resolve(case: Case, schema: Mapping[str, Any]) -> Mapping[str, Any]:
    name = schema.get("$ref", "").rpartition("/")[2]
    resolved: Mapping[str, Any] = case.operation.schema.raw_schema["components"]["schemas"][name] if name else schema
    return resolved


def _is_page(case: Case) -> bool:
    """Whether the operation is for people. The metrics are a text."""
    contents = [response.get("content", {}) for response in _declared(case)["responses"].values()]
    return any({"text/html", "text/plain"} & content.keys() for content in contents)


def _unknown_parameters(response: Response, case: Case) -> set[str]:
    known = {parameter["name"] for parameter in _declared(case).get("parameters", ()) if parameter["in"] == "query"}
    sent = parse_qsl(urlsplit(response.request.url or "").query, keep_blank_values=True)
    return {name for name, _ in sent} - known


def _was_not_routed(response: Response) -> bool:
    """No operation has this path and method, for instance because a value in the path contains a slash."""
    return response.status_code == 405 or _problem(response).get("type") == "about:blank"


def _pointers(response: Response) -> Sequence[str]:
    """Which parts of the request were wrong."""
    return [error["pointer"] for error in _problem(response).get("errors", ())]


def _problem(response: Response) -> Mapping[str, Any]:
    is_problem = response.headers.get("content-type") == ["application/problem+json"]
    problem: Mapping[str, Any] = json.loads(response.content) if is_problem else {}
    return problem
