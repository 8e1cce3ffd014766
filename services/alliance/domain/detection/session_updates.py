"""The steps of every event about a session: record it, update the probability of a rupture, detect signs."""

from collections.abc import Sequence

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.detectors import (
    STANDALONE_DETECTORS,
    Detector,
    Observation,
    ObservedEvent,
    find_session,
)
from services.alliance.domain.state.alliance import Alliance, Attendance, Session
from services.alliance.domain.state.fast_replace import replace
from shared.events import Evidence, FeedbackSubmitted

RECENT_SESSIONS_LIMIT = 4  # enough for the form of the session before last to arrive
MIN_SIGN_STRENGTH = 0.2  # of what opens an episode of concern; a weaker sign is reported only if there is no other
MIN_PROBABILITY_TO_KEEP_SIGNS = 0.06  # below this, the signs that led to it are dropped


def record_session(
    alliance: Alliance,
    event: ObservedEvent,
    attendance: Attendance | None = None,
    client_rating: float | None = None,
    clinician_rating: float | None = None,
    has_lapsed: bool = False,
) -> Alliance:
    """Record an appointment, or an answer about it, among the recent sessions."""
    previous = find_session(alliance.recent_sessions, event.session_id) or Session(event.session_id, event.occurred_at)
    session = replace(
        _record_answer(previous, event) if isinstance(event, FeedbackSubmitted) else previous,
        number=alliance.sessions + 1 if attendance == "held" else previous.number,
        attendance=attendance or previous.attendance,
        client_rating=previous.client_rating if client_rating is None else client_rating,
        clinician_rating=previous.clinician_rating if clinician_rating is None else clinician_rating,
        has_lapsed=previous.has_lapsed or has_lapsed,
    )
    others = tuple(other for other in alliance.recent_sessions if other is not previous)
    return replace(alliance, recent_sessions=(*others, session)[-RECENT_SESSIONS_LIMIT:])


def start_session(alliance: Alliance, event: ObservedEvent) -> Alliance:
    """Let the probability decay, once per session, before anything is known of the session."""
    if not alliance.has_consent or find_session(alliance.recent_sessions, event.session_id) is not None:
        return alliance
    decayed = probability.decay(alliance.rupture_probability)
    return replace(
        alliance, rupture_probability=decayed, signs=alliance.signs if decayed >= MIN_PROBABILITY_TO_KEEP_SIGNS else ()
    )


def update_probability(alliance: Alliance, weight: float) -> Alliance:
    """Update the probability by this weight, if consent is in force."""
    return (
        replace(alliance, rupture_probability=probability.update(alliance.rupture_probability, weight))
        if alliance.has_consent
        else alliance
    )


def detect_signs(observation: Observation, detectors: Sequence[Detector]) -> Alliance:
    """The alliance with the signs that `detectors` find, while consent is in force and the relationship goes on.

    A clinician's answer waits for the client's: the two are assessed together, unless a sign stands alone.
    """
    after = observation.after
    if not after.has_consent or after.ended_at is not None:
        return after
    detected = [sign for detector in detectors for sign in detector(observation)]
    signs = [sign for sign in detected if sign.strength >= MIN_SIGN_STRENGTH]
    session = find_session(after.recent_sessions, observation.event.session_id)
    waits_for_client = session is not None and session.attendance == "held" and not session.is_client_feedback_known
    is_of_concern = after.rupture_probability >= observation.policy.concern and not waits_for_client
    if is_of_concern or any(sign.strength >= 1 and sign.detector in STANDALONE_DETECTORS for sign in signs):
        reported = [*after.signs, *signs] or sorted(detected, key=_strength)[-1:]
        if reported and (signs or after.open_episode is None):
            return episodes.add_signs(replace(after, signs=()), observation.event, reported, observation.policy)
        return after
    return after if after.open_episode else replace(after, signs=episodes.strongest_signs([*after.signs, *signs]))


def _record_answer(session: Session, event: FeedbackSubmitted) -> Session:
    """Record who has answered, and whether they reported a tension."""
    reported_by, denied_by = session.tension_reported_by, session.tension_denied_by
    if event.tension == "none":
        denied_by = (*denied_by, event.rater)
    elif event.tension is not None:
        reported_by = (*reported_by, event.rater)
    return replace(
        session,
        answered_by=(*session.answered_by, event.rater),
        tension_reported_by=reported_by,
        tension_denied_by=denied_by,
    )


def _strength(sign: Evidence) -> float:
    return sign.strength
