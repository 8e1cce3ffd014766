"""How an alliance changes when a session is held, missed or cancelled, and when a form stays unanswered.

Without the client's consent, all that is recorded of an appointment is that it is known. Nothing is learnt from it,
also not for the time after consent is given again. The same holds for an absence or a silence while the clinic's
scheduling source was stale (`source_gap`).
"""

from typing import TypeAlias

from services.alliance.domain.detection import components, episodes, weights
from services.alliance.domain.detection.decision import detect_rupture
from services.alliance.domain.detection.detectors import BEHAVIOUR_DETECTORS, Observation
from services.alliance.domain.detection.sessions import record_session, start_session
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Session
from services.alliance.domain.state.fast_replace import replace
from shared.events import FeedbackLapsed, SessionCancelled, SessionCompleted, SessionMissed

CUT_SHORT_RATIO = 0.7  # of the planned minutes: a shorter session was cut short
USUAL_CUT_SHORT_RATIO = 0.3  # of the sessions: if more than this are cut short, another one is no sign

AttendanceEvent: TypeAlias = SessionCompleted | SessionMissed | SessionCancelled


def apply_attendance(alliance: Alliance, event: AttendanceEvent, policy: Policy) -> Alliance:
    """Record whether an appointment was held, missed or cancelled. Only the first event about it counts."""
    session = alliance.find_session(event.session_id)
    if session is not None and session.attendance is not None:
        return alliance
    if not alliance.has_consent:
        return _record_without_consent(alliance, session or Session(event.session_id, event.occurred_at), event)
    if isinstance(event, SessionCompleted):  # first, because nearly all are
        alliance, session = (alliance, session) if session else start_session(alliance, event)
        return _apply_completion(alliance, session, event, policy)
    if event.source_gap or (isinstance(event, SessionCancelled) and not _is_late(event, policy)):
        # It is no sign, and no session.
        cancelled = replace(session or Session(event.session_id, event.occurred_at), attendance="cancelled")
        return replace(alliance, recent_sessions=record_session(alliance.recent_sessions, cancelled))
    alliance, session = (alliance, session) if session else start_session(alliance, event)
    return _apply_absence(alliance, session, event, policy)


def _record_without_consent(alliance: Alliance, session: Session, event: AttendanceEvent) -> Alliance:
    is_held = isinstance(event, SessionCompleted)
    recorded = replace(
        session,
        number=alliance.sessions + 1 if is_held else 0,
        attendance="held" if is_held else "missed" if isinstance(event, SessionMissed) else "cancelled",
        without_consent=True,
    )
    return replace(
        alliance,
        recent_sessions=record_session(alliance.recent_sessions, recorded),
        sessions=alliance.sessions + is_held,
        sessions_without_consent=alliance.sessions_without_consent + is_held,
    )


def _is_late(event: SessionCancelled, policy: Policy) -> bool:
    """Whether the client cancelled too late; a cancellation by somebody else never is."""
    return event.by == "client" and event.notice_hours < policy.late_hours


def _apply_completion(before: Alliance, session: Session, event: SessionCompleted, policy: Policy) -> Alliance:
    session = replace(session, number=before.sessions + 1, attendance="held")
    is_cut_short = event.minutes < CUT_SHORT_RATIO * event.planned_minutes
    is_unusually_short = is_cut_short and before.sessions_cut_short <= USUAL_CUT_SHORT_RATIO * before.sessions_counted
    signal = weights.cut_short_weights() if is_unusually_short else _presence_weights(before, False, policy)
    after = replace(
        before,
        recent_sessions=record_session(before.recent_sessions, session),
        sessions=before.sessions + 1,
        sessions_cut_short=before.sessions_cut_short + is_cut_short,
        components=components.update(before.components, signal),
    )
    if is_unusually_short:
        observation = Observation(event, session, before, after, policy, signals={"absence": signal})
        return detect_rupture(observation, BEHAVIOUR_DETECTORS)
    episode = after.open_episode
    if episode is None or not episodes.is_withdrawal_only(episode):
        return after
    return episodes.record_calm_rating(after, episode, event.occurred_at, policy)


def _apply_absence(
    before: Alliance, session: Session, event: SessionMissed | SessionCancelled, policy: Policy
) -> Alliance:
    is_missed = isinstance(event, SessionMissed)
    session = replace(session, attendance="missed" if is_missed else "cancelled_late")
    signal = _presence_weights(before, True, policy)
    after = replace(
        before,
        recent_sessions=record_session(before.recent_sessions, session),
        missed=before.missed + is_missed,
        absences=before.absences + 1,
        components=components.update(before.components, signal),
    )
    observation = Observation(event, session, before, after, policy, signals={"absence": signal})
    return detect_rupture(observation, BEHAVIOUR_DETECTORS)


def apply_lapse(before: Alliance, event: FeedbackLapsed, policy: Policy) -> Alliance:
    """Apply an answer that lapsed.

    A clinician's lapse is no sign, nor is one whose answer is known, about a session that was not held after all, or
    during a source gap.
    """
    session = before.find_session(event.session_id)
    if session is not None and session.attendance not in (None, "held"):
        return before
    if (
        event.rater == "clinician"
        or event.source_gap
        or not before.has_consent
        or (session and session.is_client_feedback_known)
    ):
        return before
    if session is None:
        before, session = start_session(before, event)
    session = replace(session, has_lapsed=True)
    asked = before.feedback_received + before.feedback_lapsed
    signal = weights.silence_weights(True, before.feedback_lapsed, asked, policy.prior.silence)
    after = replace(
        before,
        recent_sessions=record_session(before.recent_sessions, session),
        feedback_lapsed=before.feedback_lapsed + 1,
        components=components.update(before.components, signal),
    )
    observation = Observation(event, session, before, after, policy, signals={"absence": signal})
    return detect_rupture(observation, BEHAVIOUR_DETECTORS)


def _presence_weights(alliance: Alliance, was_absent: bool, policy: Policy) -> weights.Weights:
    """The weights of an appointment, once it is known whether the client was there."""
    appointments = alliance.absences + alliance.sessions_counted
    return weights.absence_weights(was_absent, alliance.absences, appointments, policy.prior.absence)
