"""Builds signs of weekly sessions, and describes those of one."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from shared.clinical.wording import describe_evidence
from shared.events import Element, Evidence

USUAL = {"expected": 84.0, "low": 78.0, "high": 90.0, "own": 6.0}
USUALLY = "(usually 7.8 to 9 with this client)"
CLINICIAN_USUAL = {"expected": 75.0, "low": 70.0, "high": 80.0, "own": 6.0}
SESSION_9_AT = datetime(2026, 3, 10, 15, tzinfo=UTC)
SESSION_9 = "Tuesday 10 March, after session 9:"
SESSION_10 = "Tuesday 17 March, after session 10:"


def sign(
    detector: str, session: int, element: Element | None = None, /, strength: float = 1, **numbers: float
) -> Evidence:
    """A sign in a weekly session."""
    return Evidence(
        detector=detector,
        strength=strength,
        session_id=uuid5(UUID(int=0), str(session)),
        occurred_at=SESSION_9_AT + timedelta(weeks=session - 9),
        element=element,
        numbers={**numbers, "session": session},
    )


def describe(*signs: Evidence) -> str:
    """The only sentence about these signs of session 9, without its date."""
    (text,) = describe_evidence(signs)
    assert text.startswith(f"{SESSION_9} ")
    return text.removeprefix(f"{SESSION_9} ")
