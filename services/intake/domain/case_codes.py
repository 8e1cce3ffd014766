"""Case codes must not identify anybody: which ones could be a name or a birthday, and how new ones are chosen."""

import re
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import groupby, permutations
from uuid import UUID, uuid5

from shared.errors import Invalid
from shared.events import CaseCode

LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
"""Of chosen codes: without those that are read as a digit, I, O and Q."""
MONTHS = {
    name: month
    for month, names in enumerate(
        ("JAN", "FEB", "MAR/MRZ", "APR", "MAY/MAI", "JUN", "JUL", "AUG", "SEP", "OCT/OKT", "NOV", "DEC/DEZ"), start=1
    )
    for name in names.split("/")
}
LEAP_YEAR = 2000
"""Stands for a year of two digits: 29 February has to count as a date."""


def reject_identifying(case_code: CaseCode) -> None:
    """Raises Invalid if the code could be a name or a date. The text does not repeat the code."""
    reason = None
    if re.search("[A-Z]{4}", case_code):
        reason = "has four letters in a row, so it could be a name"
    elif _contains_date(case_code):
        reason = "contains a date, which could be a birthday"
    if reason:
        raise Invalid(
            "case-code-identifies",
            f"The case code {reason}. Choose a code that says nothing about the person, for example AB-12; "
            "or add the client without a case code, and Attune chooses one.",
        )


def choose_case_codes(client_id: UUID) -> Iterator[CaseCode]:
    """Codes for a client, the first choice first. The same client always gets the same choices."""
    attempt = 0
    while True:
        number = uuid5(client_id, f"case code {attempt}").int
        number, digits = divmod(number, 10_000)
        number, first = divmod(number, len(LETTERS))
        yield f"{LETTERS[first]}{LETTERS[number % len(LETTERS)]}-{digits:04}"
        attempt += 1


def _contains_date(case_code: str) -> bool:
    """Whether the code contains day, month and year in any order, with or without separators."""
    parts = re.findall("[0-9]+|[A-Z]+", case_code)
    groups = [list(group) for is_part, group in groupby(parts, key=_is_date_part) if is_part]
    return any(_is_date(group[start:end]) for group in groups for start, end in _slices(len(group)))


def _slices(length: int) -> Iterator[tuple[int, int]]:
    return ((start, end) for start in range(length) for end in range(start + 1, length + 1))


def _is_date_part(part: str) -> bool:
    return part.isdigit() or part in MONTHS


def _is_date(parts: Sequence[str]) -> bool:
    if len(parts) == 3:
        return any(_is_day_month_year(*order) for order in permutations(parts))
    if not all(part.isdigit() for part in parts):
        return False
    digits = "".join(parts)
    if len(digits) == 8:
        layouts = [(2, 2, 4), (4, 2, 2)]
    elif len(parts) == 1 and len(digits) == 6:
        layouts = [(2, 2, 2)]
    else:
        return False
    return any(_is_date(list(_split(digits, layout))) for layout in layouts)


def _split(digits: str, layout: tuple[int, ...]) -> Iterator[str]:
    start = 0
    for length in layout:
        yield digits[start : start + length]
        start += length


def _is_day_month_year(day: str, month: str, year: str) -> bool:
    is_written_so = re.fullmatch("[0-9]{1,2}", day) and re.fullmatch("[0-9]{2}|[0-9]{4}", year)
    if not is_written_so or not (month in MONTHS or re.fullmatch("[0-9]{1,2}", month)):
        return False
    full_year = int(year) if len(year) == 4 else LEAP_YEAR
    if not 1900 <= full_year <= 2100:
        return False
    try:
        date(full_year, MONTHS.get(month) or int(month), int(day))
    except ValueError:
        return False
    return True
