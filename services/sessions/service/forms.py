"""The forms of client and clinician, as the use cases return them, and how a link is recognized."""

import hashlib
from dataclasses import dataclass

from services.sessions.domain.clinic import Clinic
from services.sessions.domain.session import Session
from shared.events import Rater, UtcDatetime


@dataclass(frozen=True)
class FormLink:
    """A link to the form of one rater. It works until the form is answered or its time is over."""

    token: str
    expires_at: UtcDatetime


@dataclass(frozen=True)
class OpenForm:
    """A form that can be answered: its rater and its session."""

    rater: Rater
    session: Session
    case_code: str | None
    clinic: Clinic | None
    """None until its event has arrived."""


@dataclass(frozen=True)
class Reader:
    """Who reads the page of a link, as far as that is known."""

    rater: Rater | None = None
    clinic: Clinic | None = None


def hash_token(token: str) -> str:
    """SHA-256 of the token: enough to recognize a link, but not to restore it."""
    return hashlib.sha256(token.encode()).hexdigest()
