"""The steps of every event about a session: let the probability decay, record the session, detect signs."""

from collections.abc import Sequence

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.detectors import STANDALONE_DETECTORS, Detector, Observation, ObservedEvent
from services.alliance.domain.state.alliance import Alliance, Session
from services.alliance.domain.state.fast_replace import replace
from shared.events import Evidence

RECENT_SESSIONS_LIMIT = 4  # enough for the form of the session before last to arrive
MIN_SIGN_STRENGTH = 0.2  # of what opens an episode of concern; a weaker sign is reported only if there is no other
MIN_PROBABILITY_TO_KEEP_SIGNS = 0.06  # below this, the signs that led to it are dropped


def start_session(alliance: Alliance, event: ObservedEvent) -> tuple[Alliance, Session]:
    """A session of which `event` is the first to be known, and the alliance before anything is known of it.

    The probability of a rupture decays, once per session.
    """
    session = Session(event.session_id, event.occurred_at)
    if not alliance.has_consent:
        return alliance, session
    decayed = probability.decay(alliance.rupture_probability)
    signs = alliance.signs if decayed >= MIN_PROBABILITY_TO_KEEP_SIGNS else ()
    return replace(alliance, rupture_probability=decayed, signs=signs), session


def record_session(recent_sessions: tuple[Session, ...], session: Session) -> tuple[Session, ...]:
    """The recent sessions with this one as the newest; it replaces what was known of it."""
    others = [other for other in recent_sessions if other.session_id != session.session_id]
    return (*others, session)[-RECENT_SESSIONS_LIMIT:]


def update_probability(alliance: Alliance, weight: float) -> float:
    """The probability of a rupture after this weight; without consent it does not change."""
    if not alliance.has_consent:
        return alliance.rupture_probability
    return probability.update(alliance.rupture_probability, weight)


def detect_signs(observation: Observation, detectors: Sequence[Detector]) -> Alliance:
    """The alliance with the signs that `detectors` find, while consent is in force and the relationship goes on.

    A clinician's answer waits for the client's: the two are assessed together, unless a sign stands alone.
    """
    after, session = observation.after, observation.session
    if not after.has_consent or after.ended_at is not None:
        return after
    detected = [sign for detector in detectors for sign in detector(observation)]
    signs = [sign for sign in detected if sign.strength >= MIN_SIGN_STRENGTH]
    waits_for_client = session.attendance == "held" and not session.is_client_feedback_known
    is_of_concern = after.rupture_probability >= observation.policy.concern and not waits_for_client
    if is_of_concern or any(sign.strength >= 1 and sign.detector in STANDALONE_DETECTORS for sign in signs):
        reported = [*after.signs, *signs] or sorted(detected, key=_strength)[-1:]
        if reported and (signs or after.open_episode is None):
            return episodes.add_signs(after, observation.event, reported, observation.policy)
        return after
    if after.open_episode is not None or not signs:
        return after
    return replace(after, signs=episodes.strongest_signs([*after.signs, *signs]))


def _strength(sign: Evidence) -> float:
    return sign.strength
