"""How an alliance changes when a session is held, missed or cancelled, and when a form stays unanswered."""

from typing import TypeAlias

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.detectors import BEHAVIOUR_DETECTORS, Observation, find_session
from services.alliance.domain.detection.session_updates import (
    detect_signs,
    record_session,
    start_session,
    update_probability,
)
from services.alliance.domain.policy.policy import Policy, RatePrior
from services.alliance.domain.state.alliance import Alliance, Attendance
from services.alliance.domain.state.fast_replace import replace
from shared.events import FeedbackLapsed, SessionCancelled, SessionCompleted, SessionMissed

# The weight of each kind of withdrawal, and how fast it decays: two missed sessions in a row are a sign.
MISSED_WEIGHT, CANCELLED_LATE_WEIGHT, LAPSED_WEIGHT, CUT_SHORT_WEIGHT = 1.0, 0.7, 0.6, 0.5
CUT_SHORT_RATIO = 0.7  # of the planned minutes: a shorter session was cut short
USUAL_CUT_SHORT_RATIO = 0.3  # of the sessions: if more than this are cut short, another one is no sign
WITHDRAWAL_DECAY = 0.7
RETURN_DECAY = 0.5  # of the withdrawal remains when the next session is held
MIN_RESPONSE_RATE = 0.6  # of the requested forms: only a client who usually answers can fall silent

AttendanceEvent: TypeAlias = SessionCompleted | SessionMissed | SessionCancelled


def apply_attendance(alliance: Alliance, event: AttendanceEvent, policy: Policy) -> Alliance:
    """Record whether an appointment was held, missed or cancelled. Only the first event about it counts."""
    session = find_session(alliance.recent_sessions, event.session_id)
    if session is not None and session.attendance is not None:
        return alliance
    match event:
        case SessionCompleted():
            return _apply_completion(alliance, event, policy)
        case SessionMissed():
            return _apply_absence(alliance, event, "missed", MISSED_WEIGHT, policy)
        case SessionCancelled(by="client") if event.notice_hours < policy.late_hours:
            return _apply_absence(alliance, event, "cancelled_late", CANCELLED_LATE_WEIGHT, policy)
        case SessionCancelled():  # in time, or not by the client: no sign, and no session
            return record_session(alliance, event, attendance="cancelled")


def _apply_completion(alliance: Alliance, event: SessionCompleted, policy: Policy) -> Alliance:
    before = start_session(alliance, event)
    is_cut_short = event.minutes < CUT_SHORT_RATIO * event.planned_minutes
    is_unusually_short = is_cut_short and alliance.sessions_cut_short <= USUAL_CUT_SHORT_RATIO * alliance.sessions
    after = replace(
        record_session(before, event, attendance="held"),
        sessions=alliance.sessions + 1,
        sessions_cut_short=alliance.sessions_cut_short + is_cut_short,
        withdrawal=alliance.withdrawal * WITHDRAWAL_DECAY + CUT_SHORT_WEIGHT
        if is_unusually_short
        else alliance.withdrawal * RETURN_DECAY,
    )
    after = update_probability(after, _absence_weight(alliance, False, policy.prior.absence))
    if is_unusually_short:
        return detect_signs(Observation(event, before, after, policy), BEHAVIOUR_DETECTORS)
    has_returned = after.open_episode is not None and episodes.is_withdrawal_only(after.open_episode)
    return episodes.record_calm_rating(after, event.occurred_at, policy) if has_returned else after


def _apply_absence(
    alliance: Alliance, event: SessionMissed | SessionCancelled, attendance: Attendance, weight: float, policy: Policy
) -> Alliance:
    before = start_session(alliance, event)
    after = replace(
        record_session(before, event, attendance=attendance),
        missed=alliance.missed + (attendance == "missed"),
        absences=alliance.absences + 1,
        withdrawal=alliance.withdrawal * WITHDRAWAL_DECAY + weight,
    )
    after = update_probability(after, _absence_weight(alliance, True, policy.prior.absence))
    return detect_signs(Observation(event, before, after, policy), BEHAVIOUR_DETECTORS)


def apply_lapse(alliance: Alliance, event: FeedbackLapsed, policy: Policy) -> Alliance:
    """Apply an answer that lapsed. A clinician's lapse is no sign, and neither is one whose answer is already known."""
    session = find_session(alliance.recent_sessions, event.session_id)
    if event.rater == "clinician" or not alliance.has_consent or (session and session.is_client_feedback_known):
        return alliance
    before = start_session(alliance, event)
    feedback_asked = alliance.feedback_received + alliance.feedback_lapsed
    responds_reliably = feedback_asked >= 3 and alliance.feedback_received >= MIN_RESPONSE_RATE * feedback_asked
    after = replace(
        record_session(before, event, has_lapsed=True),
        feedback_lapsed=alliance.feedback_lapsed + 1,
        withdrawal=alliance.withdrawal * WITHDRAWAL_DECAY + LAPSED_WEIGHT if responds_reliably else alliance.withdrawal,
    )
    after = update_probability(
        after, probability.missed_weight(True, alliance.feedback_lapsed, feedback_asked, policy.prior.silence)
    )
    return detect_signs(Observation(event, before, after, policy), BEHAVIOUR_DETECTORS)


def _absence_weight(alliance: Alliance, was_absent: bool, prior: RatePrior) -> float:
    return probability.missed_weight(was_absent, alliance.absences, alliance.absences + alliance.sessions, prior)
