"""A caseload as a spreadsheet saves it: CSV in, rows out, and for every cell that is wrong its place and the reason.

Rows are numbered as the spreadsheet shows them: the header is row 1, and empty rows count.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, tzinfo
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from services.intake.domain.relationships import Aims, CadenceDays
from shared.events import Aim, CaseCode, Moment

COLUMNS = {
    "relationship_id": "a UUID of your choice",
    "clinician_id": "the UUID of a clinician who is registered at this clinic",
    "client_id": "a UUID of your choice",
    "case_code": "2 to 16 capitals, digits and hyphens, for instance AB-12",
    "started_at": "a date like 2026-01-31, or a time with its zone like 2026-01-31T10:00:00+01:00",
    "aims": f"one or more of {', '.join(get_args(Aim))}; separated by |, each once",
    "cadence_days": "how many days usually lie between two sessions, 1 to 365",
    "consent": "yes or no",
}
"""The columns, in any order, and what belongs in each."""
DELIMITERS = ",;\t"
MOST_ROWS = 5_000
"""More would hold the database for too long at once; a larger caseload is sent in several files."""
HEADER = 1

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_CONSENT = {"yes": True, "no": False}


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong in a file."""

    row: int
    column: str | None
    """None when it is about the row as a whole."""
    detail: str


def _a_moment(cell: str, info: ValidationInfo) -> Any:
    """A date alone is the beginning of that day at the clinic."""
    if not _DATE.match(cell):  # a spreadsheet's serial number would otherwise be read as seconds since 1970
        raise ValueError("is no date")
    if _DATE.fullmatch(cell):
        return datetime.fromisoformat(cell).replace(tzinfo=info.context)
    return cell


def _several(cell: str) -> list[str]:
    return [part.strip() for part in cell.split("|") if part.strip()]


def _yes_or_no(cell: str) -> bool:
    try:
        return _CONSENT[cell.lower()]
    except KeyError:
        raise ValueError("is neither yes nor no") from None


class Row(BaseModel):
    """One relationship of the caseload."""

    model_config = ConfigDict(frozen=True)

    number: int
    relationship_id: UUID
    clinician_id: UUID
    client_id: UUID
    case_code: CaseCode
    started_at: Annotated[Moment, BeforeValidator(_a_moment)]
    aims: Annotated[Aims, BeforeValidator(_several)]
    cadence_days: CadenceDays
    consent: Annotated[bool, BeforeValidator(_yes_or_no)]


def read(content: bytes, zone: tzinfo) -> tuple[list[Row], list[Wrong]]:
    """The rows of a file, and all that is wrong in it; dates without a time are days in `zone`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + HEADER
        return [], [Wrong(row, None, "is not UTF-8; save the file as “CSV UTF-8”")]
    rows: list[Row] = []
    errors: list[Wrong] = []
    try:
        _read_into(rows, errors, _records(text), zone)
    except _Unreadable as error:
        errors.append(Wrong(error.row, None, f"cannot be read as CSV, nor what follows it: {error}"))
    return rows, errors


def _read_into(rows: list[Row], errors: list[Wrong], records: Iterator[tuple[int, list[str]]], zone: tzinfo) -> None:
    """Raises _Unreadable; what stands before is read then."""
    column_names = [cell.strip().lower() for cell in next(records, (HEADER, []))[1]]
    errors += _wrong_in_header(column_names)
    if errors:
        return
    for number, cells in records:
        if number - HEADER > MOST_ROWS:
            errors.append(Wrong(number, None, f"is one too many: at most {MOST_ROWS} rows; split the file"))
            return
        if len(cells) > len(column_names) and any(cells[len(column_names) :]):
            errors.append(Wrong(number, None, "has more cells than the header has columns"))
            continue
        row_or_errors = _row(number, dict(zip(column_names, cells, strict=False)), zone)
        if isinstance(row_or_errors, Row):
            rows.append(row_or_errors)
        else:
            errors += row_or_errors


class _Unreadable(Exception):
    def __init__(self, row: int, why: csv.Error) -> None:
        super().__init__(str(why))
        self.row = row


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Every row that is not empty, with its number."""
    first_line = text.partition("\n")[0]
    delimiter = max(DELIMITERS, key=lambda candidate: sum(name in COLUMNS for name in _names(first_line, candidate)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row_number = 0
    try:
        for cells in reader:
            row_number += 1
            if any(cell.strip() for cell in cells):
                yield row_number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise _Unreadable(row_number + 1, error) from None


def _names(line: str, delimiter: str) -> list[str]:
    return [name.strip(' "\r').lower() for name in line.split(delimiter)]


def _wrong_in_header(names: list[str]) -> list[Wrong]:
    missing = [name for name in COLUMNS if name not in names]
    if len(missing) == len(COLUMNS):
        detail = f"holds none of the columns, which are {', '.join(COLUMNS)}, separated by comma, semicolon or tab"
        return [Wrong(HEADER, None, detail)]
    errors = [Wrong(HEADER, name, "is missing") for name in missing]
    errors += [Wrong(HEADER, name, "stands in the header twice") for name in COLUMNS if names.count(name) > 1]
    for position, name in enumerate(names, start=1):
        if name not in COLUMNS:
            errors.append(Wrong(HEADER, None, f"column {position} is none of {', '.join(COLUMNS)}"))
    return errors


def _row(number: int, cells: dict[str, str], zone: tzinfo) -> Row | list[Wrong]:
    try:
        return Row.model_validate({**cells, "number": number}, context=zone)
    except ValidationError as error:
        invalid_columns = {detail["loc"][0] for detail in error.errors(include_url=False, include_context=False)}
        return [
            Wrong(number, name, f"{'should be' if cells.get(name) else 'is empty; it should be'} {expected}")
            for name, expected in COLUMNS.items()
            if name in invalid_columns
        ]
