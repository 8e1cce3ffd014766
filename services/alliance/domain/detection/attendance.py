"""What it does to an alliance that a session is held or not, and that a form stays unanswered."""

from typing import TypeAlias

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.detectors import BEHAVIOUR, Reading, find
from services.alliance.domain.detection.session_updates import begun, look, moved, remember
from services.alliance.domain.policy.policy import Habit, Policy
from services.alliance.domain.state.alliance import Alliance, Outcome
from services.alliance.domain.state.fast_replace import replace
from shared.events import FeedbackLapsed, SessionCancelled, SessionCompleted, SessionMissed

# How much each kind of withdrawal weighs, and how fast it is forgotten: two missed sessions in a row count.
MISSED, CANCELLED_LATE, SILENT, SHORTENED = 1.0, 0.7, 0.6, 0.5
CUT_SHORT = 0.7  # of the planned minutes: a session that ended before then was cut short
OFTEN_SHORT = 0.3  # of the sessions: where as many are cut short, one more says nothing
FADES = 0.7
COMES_BACK = 0.5  # of the withdrawal stays when the next session is held
RELIABLE = 0.6  # of the forms asked for were answered: only then silence says something


Attendance: TypeAlias = SessionCompleted | SessionMissed | SessionCancelled


def attend(alliance: Alliance, event: Attendance, policy: Policy) -> Alliance:
    """What became of an appointment. Told once more, it changes nothing."""
    session = find(alliance.recent, event.session_id)
    if session is not None and session.outcome is not None:
        return alliance
    match event:
        case SessionCompleted():
            return _held(alliance, event, policy)
        case SessionMissed():
            return _stayed_away(alliance, event, "missed", MISSED, policy)
        case SessionCancelled(by="client") if event.notice_hours < policy.late_hours:
            return _stayed_away(alliance, event, "cancelled_late", CANCELLED_LATE, policy)
        case SessionCancelled():  # in time, or not by the client: no sign, and no session
            return remember(alliance, event, outcome="cancelled")


def _held(alliance: Alliance, event: SessionCompleted, policy: Policy) -> Alliance:
    before = begun(alliance, event)
    is_cut_short = event.minutes < CUT_SHORT * event.planned_minutes
    is_unusually_short = is_cut_short and alliance.shortened <= OFTEN_SHORT * alliance.sessions
    after = replace(
        remember(before, event, outcome="held"),
        sessions=alliance.sessions + 1,
        shortened=alliance.shortened + is_cut_short,
        withdrawal=alliance.withdrawal * FADES + SHORTENED if is_unusually_short else alliance.withdrawal * COMES_BACK,
    )
    after = moved(after, _absence(alliance, False, policy.prior.absence))
    if is_unusually_short:
        return look(Reading(event, before, after, policy), BEHAVIOUR)
    has_returned = after.open is not None and episodes.stayed_away_only(after.open)
    return episodes.calmer(after, event.occurred_at, policy) if has_returned else after


def _stayed_away(
    alliance: Alliance, event: SessionMissed | SessionCancelled, outcome: Outcome, weight: float, policy: Policy
) -> Alliance:
    before = begun(alliance, event)
    after = replace(
        remember(before, event, outcome=outcome),
        missed=alliance.missed + (outcome == "missed"),
        away=alliance.away + 1,
        withdrawal=alliance.withdrawal * FADES + weight,
    )
    after = moved(after, _absence(alliance, True, policy.prior.absence))
    return look(Reading(event, before, after, policy), BEHAVIOUR)


def silence(alliance: Alliance, event: FeedbackLapsed, policy: Policy) -> Alliance:
    """An answer that did not come in time. A clinician's is no sign, and neither is one that came after all."""
    session = find(alliance.recent, event.session_id)
    if event.rater == "clinician" or not alliance.watched or (session and session.heard_of_client):
        return alliance
    before = begun(alliance, event)
    feedback_asked = alliance.answered + alliance.lapsed
    responds_reliably = feedback_asked >= 3 and alliance.answered >= RELIABLE * feedback_asked
    after = replace(
        remember(before, event, lapsed=True),
        lapsed=alliance.lapsed + 1,
        withdrawal=alliance.withdrawal * FADES + SILENT if responds_reliably else alliance.withdrawal,
    )
    after = moved(after, probability.missed(True, alliance.lapsed, feedback_asked, policy.prior.silence))
    return look(Reading(event, before, after, policy), BEHAVIOUR)


def _absence(alliance: Alliance, away: bool, prior: Habit) -> float:
    return probability.missed(away, alliance.away, alliance.away + alliance.sessions, prior)
