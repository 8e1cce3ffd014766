"""The base class of request bodies, and types of their fields."""

import unicodedata
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ConfigDict

from shared.runtime.model import Model

JOINERS = "\u200c\u200d"
"""Invisible, but part of names in Persian and in the scripts of India."""
INVISIBLE_CATEGORIES = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Control and formatting characters, among them those that reverse the direction of the text; and what is no text."""


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


def require_digits(value: object) -> object:
    """Rejects what int() accepts besides digits: `1_4` would be 14, and `true` would be 1."""
    if isinstance(value, bool) or (isinstance(value, str) and not (value.isascii() and value.isdigit())):
        raise ValueError("is not a whole number")
    return value


VisibleText = Annotated[str, AfterValidator(reject_invisible_characters)]
WholeNumber = Annotated[int, BeforeValidator(require_digits)]
