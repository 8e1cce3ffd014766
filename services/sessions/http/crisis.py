"""Whom a client can turn to in a crisis: a box on every page that a client sees."""

from dataclasses import dataclass

from services.sessions.service import Reader
from shared.clinical.telephone_numbers import find_telephone_numbers, telephone_link


@dataclass(frozen=True)
class CrisisBox:
    """What the box says."""

    text: str
    clinic_name: str | None
    """None if it is not known; then the box has the general text only."""
    contact: str | None
    calls: tuple[tuple[str, str], ...]
    """The numbers to call, as they are written, each with its link."""


def crisis_box(reader: Reader, general_text: str) -> CrisisBox | None:
    """The box for this reader; None for a clinician."""
    if reader.rater == "clinician":
        return None
    clinic = reader.clinic
    numbers = (*find_telephone_numbers(general_text), *(clinic.crisis_numbers if clinic else ()))
    return CrisisBox(
        text=general_text,
        clinic_name=clinic.name if clinic else None,
        contact=clinic.crisis_contact if clinic else None,
        calls=tuple((number, telephone_link(number)) for number in dict.fromkeys(numbers)),
    )
