"""The base class of request bodies, and types of their fields."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from shared.events.model import FIRST_YEAR, LAST_YEAR, UtcDatetime
from shared.runtime.model import Model

JOINERS = "\u200c\u200d"
"""Invisible, but part of names in Persian and in the scripts of India."""
INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Control and formatting characters, among them those that reverse the direction of the text; and what is no text."""
VISIBLE_TEXT_FORMAT = "visible-text"
"""A format of ours: JSON Schema cannot name categories of characters."""


class RequestBody(Model):
    """The body of a request. An unknown field is rejected, because it is probably misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def reject_invisible_characters(text: str) -> str:
    """Rejects characters that nobody sees, but that change how the text around them looks, or break a line."""
    if any(unicodedata.category(character) in INVISIBLE_CATEGORIES and character not in JOINERS for character in text):
        raise ValueError("contains a control character or an invisible one; remove it")
    if not text.strip(f"{JOINERS} "):
        raise ValueError("contains nothing that can be seen")
    return text


def _require_number(value: object) -> object:
    """Rejects what int() accepts besides numbers: `"50"` would be 50, and `true` would be 1. JSON's 7.0 is 7."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ValueError("is not a whole number")
    return value


VisibleText = Annotated[
    str,
    AfterValidator(reject_invisible_characters),
    Field(
        description="Without control characters and invisible ones.", json_schema_extra={"format": VISIBLE_TEXT_FORMAT}
    ),
]
WholeNumber = Annotated[int, BeforeValidator(_require_number)]
"""Its bounds are given as `= Field(ge=...)`: within Annotated they would be missing in the OpenAPI document."""
RequestedTime = Annotated[
    UtcDatetime,
    Field(description=f"With its time zone. In UTC, its year is {FIRST_YEAR + 1} to {LAST_YEAR - 1}."),
]
