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


def attend(alliance: Alliance, fact: Attendance, policy: Policy) -> Alliance:
    """What became of an appointment. Told once more, it changes nothing."""
    known = find(alliance.recent, fact.session_id)
    if known is not None and known.outcome is not None:
        return alliance
    match fact:
        case SessionCompleted():
            return _held(alliance, fact, policy)
        case SessionMissed():
            return _stayed_away(alliance, fact, "missed", MISSED, policy)
        case SessionCancelled(by="client") if fact.notice_hours < policy.late_hours:
            return _stayed_away(alliance, fact, "cancelled_late", CANCELLED_LATE, policy)
        case SessionCancelled():  # in time, or not by the client: no sign, and no session
            return remember(alliance, fact, outcome="cancelled")


def _held(alliance: Alliance, fact: SessionCompleted, policy: Policy) -> Alliance:
    before = begun(alliance, fact)
    short = fact.minutes < CUT_SHORT * fact.planned_minutes
    left_early = short and alliance.shortened <= OFTEN_SHORT * alliance.sessions
    after = replace(
        remember(before, fact, outcome="held"),
        sessions=alliance.sessions + 1,
        shortened=alliance.shortened + short,
        withdrawal=alliance.withdrawal * FADES + SHORTENED if left_early else alliance.withdrawal * COMES_BACK,
    )
    after = moved(after, _absence(alliance, False, policy.prior.absence))
    if left_early:
        return look(Reading(fact, before, after, policy), BEHAVIOUR)
    came_back = after.open is not None and episodes.stayed_away_only(after.open)
    return episodes.calmer(after, fact.occurred_at, policy) if came_back else after


def _stayed_away(
    alliance: Alliance, fact: SessionMissed | SessionCancelled, outcome: Outcome, weight: float, policy: Policy
) -> Alliance:
    before = begun(alliance, fact)
    after = replace(
        remember(before, fact, outcome=outcome),
        missed=alliance.missed + (outcome == "missed"),
        away=alliance.away + 1,
        withdrawal=alliance.withdrawal * FADES + weight,
    )
    after = moved(after, _absence(alliance, True, policy.prior.absence))
    return look(Reading(fact, before, after, policy), BEHAVIOUR)


def silence(alliance: Alliance, fact: FeedbackLapsed, policy: Policy) -> Alliance:
    """An answer that did not come in time. A clinician's is no sign, and neither is one that came after all."""
    session = find(alliance.recent, fact.session_id)
    if fact.rater == "clinician" or not alliance.watched or (session and session.heard_of_client):
        return alliance
    before = begun(alliance, fact)
    asked = alliance.answered + alliance.lapsed
    reliable = asked >= 3 and alliance.answered >= RELIABLE * asked
    after = replace(
        remember(before, fact, lapsed=True),
        lapsed=alliance.lapsed + 1,
        withdrawal=alliance.withdrawal * FADES + SILENT if reliable else alliance.withdrawal,
    )
    after = moved(after, probability.missed(True, alliance.lapsed, asked, policy.prior.silence))
    return look(Reading(fact, before, after, policy), BEHAVIOUR)


def _absence(alliance: Alliance, away: bool, habit: Habit) -> float:
    return probability.missed(away, alliance.away, alliance.away + alliance.sessions, habit)
