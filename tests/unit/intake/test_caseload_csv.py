"""Caseload files in CSV: the rows that are parsed, and the errors of invalid cells."""

from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.intake.domain.caseload_csv import COLUMNS, MAX_ROWS, Row, RowError, parse_caseload

BERLIN = ZoneInfo("Europe/Berlin")
IDS = [str(uuid4()) for _ in range(3)]
VALID_CELLS = [*IDS, "AB-12", "2026-01-05T10:00:00+01:00", "relief|coping", "7", "yes"]


def make_csv(*rows: list[str], header: list[str] | None = None, delimiter: str = ",") -> bytes:
    return "\r\n".join(delimiter.join(row) for row in [header or list(COLUMNS), *rows]).encode()


def cells_with(**cells: str) -> list[str]:
    return [cells.get(name, cell) for name, cell in zip(COLUMNS, VALID_CELLS, strict=True)]


def valid_rows(content: bytes) -> list[Row]:
    parsed_rows, errors = parse_caseload(content, BERLIN)
    assert errors == []
    return parsed_rows


def error_cells(content: bytes) -> list[tuple[int, str | None]]:
    return [(error.row, error.column) for error in parse_caseload(content, BERLIN)[1]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("byte_order_mark", [b"", b"\xef\xbb\xbf"])
def test_files_of_common_spreadsheets_are_parsed(delimiter: str, byte_order_mark: bytes) -> None:
    (row,) = valid_rows(byte_order_mark + make_csv(VALID_CELLS, delimiter=delimiter))

    assert (row.number, str(row.relationship_id), row.case_code) == (2, IDS[0], "AB-12")
    assert row.started_at == datetime(2026, 1, 5, 9, tzinfo=UTC)
    assert (row.aims, row.cadence_days, row.consent) == (("relief", "coping"), 7, True)


@pytest.mark.parametrize("date", ["0001-01-01", "1901-01-01", "2200-01-02", "9999-12-31"])
def test_a_date_of_an_implausible_year_is_an_error_of_its_row(date: str) -> None:
    """1901 began in Berlin while it was 1900 in UTC."""
    assert error_cells(make_csv(cells_with(started_at=date))) == [(2, "started_at")]


def test_a_date_without_a_time_is_the_start_of_that_day_at_the_clinic() -> None:
    (row,) = valid_rows(make_csv(cells_with(started_at="2026-07-01")))

    assert row.started_at == datetime(2026, 6, 30, 22, tzinfo=UTC)


def test_columns_may_be_in_any_order_and_quoted() -> None:
    header = [f'"{name.upper()}"' for name in reversed(COLUMNS)]

    assert valid_rows(make_csv([f'" {cell} "' for cell in reversed(VALID_CELLS)], header=header)) == valid_rows(
        make_csv(VALID_CELLS)
    )


def test_row_numbers_count_empty_rows_as_a_spreadsheet_does() -> None:
    content = make_csv([], VALID_CELLS, [""] * 8, cells_with(consent="perhaps"))

    assert error_cells(content) == [(5, "consent")]


@pytest.mark.parametrize(
    ("column", "cell"),
    [
        ("relationship_id", "7"),
        ("clinician_id", ""),
        ("client_id", "Anna"),
        ("case_code", "Anna B."),
        ("started_at", "2026-01-05T10:00:00"),  # no zone
        ("started_at", "46027"),  # a spreadsheet's serial number
        ("started_at", "05.01.2026"),
        ("started_at", "2026-02-31"),
        ("aims", "relief|relief"),
        ("aims", "happiness"),
        ("aims", "|"),
        ("cadence_days", "0"),
        ("cadence_days", "7.5"),
        ("consent", "y"),
    ],
)
def test_an_invalid_cell_is_reported_with_its_valid_content(column: str, cell: str) -> None:
    _, errors = parse_caseload(make_csv(VALID_CELLS, cells_with(**{column: cell})), BERLIN)

    assert [(error.row, error.column) for error in errors] == [(3, column)]
    assert COLUMNS[column] in errors[0].detail
    assert "Anna" not in errors[0].detail


def test_every_invalid_cell_is_reported() -> None:
    assert error_cells(make_csv(["x"] * 8)) == [(2, name) for name in COLUMNS]


def test_a_row_with_too_few_or_too_many_cells_is_reported() -> None:
    assert error_cells(make_csv(VALID_CELLS[:6], [*VALID_CELLS, "more"], [*VALID_CELLS, ""])) == [
        (2, "cadence_days"),
        (2, "consent"),
        (3, None),
    ]


def test_an_unknown_delimiter_is_reported_with_the_valid_ones() -> None:
    _, (error,) = parse_caseload(make_csv(VALID_CELLS, delimiter="/"), BERLIN)

    assert (error.row, error.column) == (1, None)
    assert "comma, semicolon or tab" in error.detail


def test_missing_duplicate_and_unknown_columns_are_reported() -> None:
    header = [*list(COLUMNS)[:6], "aims", "name"]

    assert error_cells(make_csv(VALID_CELLS, header=header)) == [
        (1, "cadence_days"),
        (1, "consent"),
        (1, "aims"),
        (1, None),
    ]


def test_an_empty_file_is_invalid_and_a_header_alone_is_an_empty_caseload() -> None:
    assert error_cells(b"") == [(1, None)]
    assert valid_rows(make_csv()) == []


def test_text_that_is_not_utf_8_is_reported_with_its_row() -> None:
    assert error_cells(make_csv(VALID_CELLS) + b"\r\n\xe4") == [(3, None)]
    assert error_cells("relationship_id".encode("utf-16")) == [(1, None)]


def test_rows_after_an_unclosed_quote_are_not_parsed() -> None:
    _, (error,) = parse_caseload(make_csv(VALID_CELLS, cells_with(aims='"relief'), VALID_CELLS), BERLIN)

    assert (error.row, error.column) == (3, None)


def test_the_first_row_over_the_limit_is_reported_and_the_rest_is_not_parsed() -> None:
    content = make_csv(*([VALID_CELLS] * (MAX_ROWS + 7)))

    assert error_cells(content) == [(MAX_ROWS + 2, None)]
    assert error_cells(make_csv(*([VALID_CELLS] * MAX_ROWS))) == []


@example(b'"')
@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_give_rows_or_errors(content: bytes) -> None:
    parsed_rows, errors = parse_caseload(content, BERLIN)

    assert parsed_rows == []
    assert all(isinstance(error, RowError) for error in errors)
    assert errors


@given(st.lists(st.sampled_from([*VALID_CELLS, "", '"', "\n", "é", "1" * 200]), max_size=12))
def test_any_row_gives_a_row_or_errors(cells: list[str]) -> None:
    parsed_rows, errors = parse_caseload(make_csv(cells), BERLIN)

    assert parsed_rows or errors or not any(cell.strip() for cell in cells)
