"""The steps of every event about a session: let the probabilities pass to it, and record the session."""

from services.alliance.domain.detection import components
from services.alliance.domain.detection.detectors import ObservedEvent
from services.alliance.domain.state.alliance import Alliance, Session
from services.alliance.domain.state.fast_replace import replace

RECENT_SESSIONS_LIMIT = 4  # enough for the form of the session before last to arrive


def start_session(alliance: Alliance, event: ObservedEvent) -> tuple[Alliance, Session]:
    """A session of which `event` is the first to be known, and the alliance before anything is known of it.

    The probabilities pass from session to session, once each.
    """
    passed = components.pass_to_next_session(alliance.components or components.START)
    signs = alliance.signs if 1 - passed[components.CALM] >= components.MIN_TO_KEEP_SIGNS else ()
    session = Session(event.session_id, event.occurred_at)
    recent_sessions = (*alliance.recent_sessions, session)[-RECENT_SESSIONS_LIMIT:]
    return replace(alliance, components=passed, signs=signs, recent_sessions=recent_sessions), session


def record_session(recent_sessions: tuple[Session, ...], session: Session) -> tuple[Session, ...]:
    """The recent sessions with this one as the newest; it replaces what was known of it."""
    if recent_sessions and recent_sessions[-1].session_id == session.session_id:  # as nearly always
        return (*recent_sessions[:-1], session)
    others = [other for other in recent_sessions if other.session_id != session.session_id]
    return (*others, session)[-RECENT_SESSIONS_LIMIT:]
