"""Telephone numbers: where a text has them, and the link that dials one."""

import re

MIN_DIGITS_IN_TEXT, MAX_DIGITS = 6, 15
"""A shorter number in a text may be a year, a postal code or a room. The longest numbers have 15 digits (E.164)."""

_CANDIDATE = re.compile(
    r"(?<![\w.:+])\+?(?:\([0-9]{1,6}\)|[0-9])(?:(?: ?\(0\) ?|[ /-])?[0-9])*(?<=[0-9])(?![\w:])", re.ASCII
)
"""Digits with single separators, so that a list such as `0800 1 / 0800 2` is two numbers, and none that are a time."""
_HOUR = "(?:[01]?[0-9]|2[0-4])"
_OPENING_HOURS = re.compile(rf"(?<![\w/+-])(?:24/7|{_HOUR}-{_HOUR})(?![\w/-])", re.ASCII)
"""Such as `24/7` and `9-17`, which otherwise read as the first digits of the number that follows."""


def find_telephone_numbers(text: str) -> tuple[str, ...]:
    """The telephone numbers in a text, as they are written there, each once."""
    candidates = dict.fromkeys(match[0] for match in _CANDIDATE.finditer(_OPENING_HOURS.sub("|", text)))
    return tuple(number for number in candidates if MIN_DIGITS_IN_TEXT <= _count_digits(number) <= MAX_DIGITS)


def telephone_link(number: str) -> str:
    """The `tel:` link to a number as people write it; `(0)` is not dialled after a country's code."""
    is_international = number.startswith("+")
    dialled = number.replace("(0)", "") if is_international else number
    return f"tel:{'+' if is_international else ''}{re.sub('[^0-9]', '', dialled)}"


def _count_digits(text: str) -> int:
    return sum(character.isdigit() for character in text)
