"""The numbers of a sign of withdrawal: what came last, and how many of the latest appointments were not held."""

from collections.abc import Iterable, Sequence

from services.alliance.domain.state.alliance import Session
from shared.clinical.absences import ABSENCE_CODES
from shared.events import Event, FeedbackLapsed, SessionCompleted

COUNTED_ATTENDANCES = frozenset({"held", *ABSENCE_CODES})
"""Of the appointments of which attendance is a share; one that was cancelled in time is none."""


def withdrawal_numbers(event: Event, session: Session, recent_sessions: Iterable[Session]) -> dict[str, float]:
    """Without the sessions for which consent was not in force.

    `absence` is the code of why the appointment itself was not held. It is left out if the sign is about an appointment
    that was.
    """
    sessions = [other for other in recent_sessions if not other.without_consent]
    absence = ABSENCE_CODES.get(session.attendance or "")
    return {
        **({"absence": absence} if absence else {}),
        "appointments": sum(other.attendance in COUNTED_ATTENDANCES for other in sessions),
        "missed": sum(other.attendance == "missed" for other in sessions),
        "cancelled_late": sum(other.attendance == "cancelled_late" for other in sessions),
        "cut_short": 1 if isinstance(event, SessionCompleted) else 0,
        "silent": 1 if isinstance(event, FeedbackLapsed) else 0,
        "in_a_row": _count_missed_in_a_row(sessions),
    }


def _count_missed_in_a_row(sessions: Sequence[Session]) -> int:
    """How many of the latest appointments in a row the client missed or cancelled late."""
    # By time: an answer about an earlier session has made that one the last of the recent ones.
    newest_first = sorted(sessions, key=lambda session: session.at, reverse=True)
    counted = [session.attendance for session in newest_first if session.attendance in COUNTED_ATTENDANCES]
    return next((index for index, attendance in enumerate(counted) if attendance == "held"), len(counted))
