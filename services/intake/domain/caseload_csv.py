"""Parse a caseload file in CSV, as spreadsheets save it: rows, and an error for every invalid cell.

Rows are numbered as the spreadsheet shows them: the header is row 1, and empty rows count.
"""

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from itertools import zip_longest
from typing import Annotated, Any, get_args
from uuid import UUID

from pydantic import BeforeValidator, ConfigDict, ValidationError, ValidationInfo

from services.intake.domain.relationship import (
    Aims,
    CadenceDays,
)
from shared.events import Aim, CaseCode, UtcDatetime
from shared.runtime.model import Model

COLUMNS = {
    "relationship_id": "a UUID of your choice",
    "clinician_id": "the UUID of a clinician who is registered at this clinic",
    "client_id": "a UUID of your choice",
    "case_code": "2 to 16 capitals, digits and hyphens, for example AB-12, or empty: then Attune chooses one",
    "started_at": "a date like 2026-01-31, or a time with its zone like 2026-01-31T10:00:00+01:00",
    "aims": f"one or more of {', '.join(get_args(Aim))}; separated by |, each once",
    "cadence_days": "the usual number of days between two sessions, 1 to 365",
    "consent": "yes or no",
}
"""The columns, in any order, and the valid content of each."""
OPTIONAL_COLUMNS = {"case_code"}
DELIMITERS = ",;\t"
MAX_ROWS = 5_000
"""More rows would make the transaction too long. A larger caseload is sent in several files."""
HEADER_ROW = 1

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WHOLE_NUMBER = re.compile("[0-9]+")
_SEPARATOR_LINE = re.compile(r'"?sep=[^\r\n]?"?[,;\t ]*(\r\n|\r|\n|$)', re.IGNORECASE)
"""Excel's own first line, which tells it the delimiter and which it does not show."""
_CONSENT_VALUES = {"yes": True, "no": False}


@dataclass(frozen=True)
class RowError:
    """One error in a file."""

    row: int
    column: str | None
    """None if the error concerns the whole row."""
    detail: str


def _parse_optional(cell: str | None) -> str | None:
    return cell or None


def _parse_datetime(cell: str, info: ValidationInfo) -> Any:
    """A date without a time is the start of that day at the clinic."""
    if not _DATE.match(cell):  # pydantic would read a spreadsheet's serial number as seconds since 1970
        raise ValueError("is not a date")
    if _DATE.fullmatch(cell):
        return datetime.fromisoformat(cell).replace(tzinfo=info.context)
    return cell


def _parse_whole_number(cell: Any) -> Any:
    """Rejects what int() accepts besides digits: `1_4` would be 14."""
    if isinstance(cell, str) and not _WHOLE_NUMBER.fullmatch(cell):
        raise ValueError("is not a whole number")
    return cell


def _parse_list(cell: str) -> list[str]:
    return [part.strip() for part in cell.split("|") if part.strip()]


def _parse_yes_or_no(cell: str) -> bool:
    try:
        return _CONSENT_VALUES[cell.lower()]
    except KeyError:
        raise ValueError("is neither yes nor no") from None


class Row(Model):
    """One relationship of the caseload."""

    model_config = ConfigDict(frozen=True)

    number: int
    relationship_id: UUID
    clinician_id: UUID
    client_id: UUID
    case_code: Annotated[CaseCode | None, BeforeValidator(_parse_optional)] = None
    """None if the client keeps the code that it has, or gets one that is chosen."""
    started_at: Annotated[UtcDatetime, BeforeValidator(_parse_datetime)]
    start_day: date | None = None
    """The day of `started_at` if the file has no time."""
    aims: Annotated[Aims, BeforeValidator(_parse_list)]
    cadence_days: Annotated[CadenceDays, BeforeValidator(_parse_whole_number)]
    consent: Annotated[bool, BeforeValidator(_parse_yes_or_no)]


def parse_caseload(content: bytes, zone: tzinfo) -> tuple[list[Row], list[RowError]]:
    """Return the valid rows of a file and all its errors. Dates without a time are days in `zone`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + HEADER_ROW
        return [], [RowError(row, None, "is not UTF-8; save the file as “CSV UTF-8”")]
    rows: list[Row] = []
    errors: list[RowError] = []
    try:
        _parse_records(rows, errors, _read_records(text), zone)
    except _CsvError as error:
        errors.append(RowError(error.row, None, f"is not valid CSV, so the rest of the file was not read: {error}"))
    return rows, errors


def _parse_records(
    rows: list[Row], errors: list[RowError], records: Iterator[tuple[int, list[str]]], zone: tzinfo
) -> None:
    """Append to `rows` and `errors`. Raises _CsvError when it reaches invalid CSV; the rows before it are parsed."""
    header_row, header = next(records, (HEADER_ROW, []))
    column_names = [cell.lower() for cell in header]
    errors += _find_header_errors(header_row, column_names)
    if errors:
        return
    for number, cells in records:
        if number - header_row > MAX_ROWS:
            errors.append(RowError(number, None, f"exceeds the limit of {MAX_ROWS} rows; split the file"))
            return
        if any(cell and not name for name, cell in zip_longest(column_names, cells)):
            errors.append(RowError(number, None, "has a cell in a column that has no name in the header"))
            continue
        row_or_errors = _parse_row(number, dict(zip(column_names, cells, strict=False)), zone)
        if isinstance(row_or_errors, Row):
            rows.append(row_or_errors)
        else:
            errors += row_or_errors


class _CsvError(Exception):
    def __init__(self, row: int, cause: csv.Error) -> None:
        super().__init__(str(cause))
        self.row = row


def _read_records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield every row that is not empty, with its number."""
    if separator_line := _SEPARATOR_LINE.match(text):
        text = text[separator_line.end() :]
    header = next((line for line in io.StringIO(text) if line.strip(f'"{DELIMITERS} \r\n')), "")
    delimiter = max(DELIMITERS, key=lambda candidate: sum(name in COLUMNS for name in _split_header(header, candidate)))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    row_number = 0
    try:
        for cells in reader:
            row_number += 1
            if any(cell.strip() for cell in cells):
                yield row_number, [cell.strip() for cell in cells]
    except csv.Error as error:
        raise _CsvError(row_number + 1, error) from None


def _split_header(line: str, delimiter: str) -> list[str]:
    return [name.strip(' "\r\n').lower() for name in line.split(delimiter)]


def _find_header_errors(row: int, names: list[str]) -> list[RowError]:
    """A column without a name is no error: spreadsheets save empty ones."""
    if not COLUMNS.keys() & set(names):
        detail = f"has none of the columns {', '.join(COLUMNS)}, separated by comma, semicolon or tab"
        return [RowError(row, None, detail)]
    missing = [name for name in COLUMNS if name not in names and name not in OPTIONAL_COLUMNS]
    errors = [RowError(row, name, "is missing") for name in missing]
    errors += [RowError(row, name, "is in the header twice") for name in COLUMNS if names.count(name) > 1]
    for position, name in enumerate(names, start=1):
        if name and name not in COLUMNS:
            errors.append(RowError(row, None, f"column {position} is not one of {', '.join(COLUMNS)}"))
    return errors


def _parse_row(number: int, cells: dict[str, str], zone: tzinfo) -> Row | list[RowError]:
    try:
        start_day = _DATE.fullmatch(cells.get("started_at", ""))
        values = {**cells, "number": number, "start_day": start_day[0] if start_day else None}
        return Row.model_validate(values, context=zone)
    except ValidationError as error:
        invalid_columns = {detail["loc"][0] for detail in error.errors(include_url=False, include_context=False)}
        return [
            RowError(number, name, f"{'should be' if cells.get(name) else 'is empty; it should be'} {expected}")
            for name, expected in COLUMNS.items()
            if name in invalid_columns
        ]
