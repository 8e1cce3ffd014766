"""Which numbers of a text a client can call, and what is dialled."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from shared.clinical.telephone_numbers import find_telephone_numbers, telephone_link
from shared.events.intake import TelephoneNumber


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("030 112 112", ["030 112 112"]),
        ("the duty desk: +49 (0)30 23125-000, day and night", ["+49 (0)30 23125-000"]),
        ("(030) 23125 000 or 116 123.", ["(030) 23125 000", "116 123"]),
        ("0800 111 0 111 / 0800 111 0 222", ["0800 111 0 111", "0800 111 0 222"]),
        ("0800/1110111, 0800/1110111", ["0800/1110111"]),
        ("+1-800-273-8255 (24/7)", ["+1-800-273-8255"]),
        ("030 23125000 8:00-17:00", ["030 23125000"]),
        ("9:00-17:00 030 23125000", ["030 23125000"]),
        ("Crisis line 24/7 0800 1110111", ["0800 1110111"]),
        ("116 123 24/7", ["116 123"]),
        ("Mo-Fr 9-17 030 1234567", ["030 1234567"]),
        ("Call us (123456)", ["123456"]),
    ],
)
def test_numbers_are_found_as_they_are_written(text: str, numbers: list[str]) -> None:
    assert list(find_telephone_numbers(text)) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "the duty desk",
        "24/7, Mon-Fri 8-17",
        "Elm Street 112, 10115 Berlin",
        "since 2026",
        "1.10.2026",
        "1234567890123456",
        "open 24/7",
    ],
)
def test_what_is_no_telephone_number_is_not_found(text: str) -> None:
    assert find_telephone_numbers(text) == ()


@given(st.text("0123456789+()/- .:a", max_size=40))
def test_whatever_is_found_may_stand_in_an_event(text: str) -> None:
    for number in find_telephone_numbers(text):
        assert TypeAdapter(TelephoneNumber).validate_python(number) == number


@pytest.mark.parametrize(
    ("number", "link"),
    [
        ("+49 (0)30 23125-000", "tel:+493023125000"),
        ("(030) 112 112", "tel:030112112"),
        ("112", "tel:112"),
    ],
)
def test_a_link_dials_the_digits(number: str, link: str) -> None:
    assert telephone_link(number) == link
