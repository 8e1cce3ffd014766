"""The steps of every event about a session: let the probability decay, and record the session."""

from services.alliance.domain.detection import probability
from services.alliance.domain.detection.detectors import ObservedEvent
from services.alliance.domain.state.alliance import Alliance, Session
from services.alliance.domain.state.fast_replace import replace

RECENT_SESSIONS_LIMIT = 4  # enough for the form of the session before last to arrive
MIN_PROBABILITY_TO_KEEP_SIGNS = 0.06  # below this, the signs that led to it are dropped


def start_session(alliance: Alliance, event: ObservedEvent) -> tuple[Alliance, Session]:
    """A session of which `event` is the first to be known, and the alliance before anything is known of it.

    The probability of a rupture decays, once per session.
    """
    decayed = probability.decay(alliance.rupture_probability)
    signs = alliance.signs if decayed >= MIN_PROBABILITY_TO_KEEP_SIGNS else ()
    return replace(alliance, rupture_probability=decayed, signs=signs), Session(event.session_id, event.occurred_at)


def record_session(recent_sessions: tuple[Session, ...], session: Session) -> tuple[Session, ...]:
    """The recent sessions with this one as the newest; it replaces what was known of it."""
    others = [other for other in recent_sessions if other.session_id != session.session_id]
    return (*others, session)[-RECENT_SESSIONS_LIMIT:]
