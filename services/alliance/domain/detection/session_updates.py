"""What every fact about a session does: it is remembered, it moves the belief, and signs are looked for."""

from collections.abc import Sequence

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.detectors import STAND_ALONE, Detector, Reading, Witnessed, find
from services.alliance.domain.state.alliance import Alliance, Outcome, Session
from services.alliance.domain.state.fast_replace import replace
from shared.events import Evidence, FeedbackSubmitted

LATEST = 4  # appointments kept whole: enough for the form of the last but one to come in
WORTH_TELLING = 0.2  # of what makes an episode of concern; a weaker sign is only told where there is no other
FORGOTTEN = 0.06  # belief below which the signs that led to it are forgotten


def remember(
    alliance: Alliance,
    event: Witnessed,
    outcome: Outcome | None = None,
    client: float | None = None,
    clinician: float | None = None,
    lapsed: bool = False,
) -> Alliance:
    """Keep what became of an appointment, or what was said of it, among the latest."""
    previous = find(alliance.recent, event.session_id) or Session(event.session_id, event.occurred_at)
    session = replace(
        _said(previous, event) if isinstance(event, FeedbackSubmitted) else previous,
        number=alliance.sessions + 1 if outcome == "held" else previous.number,
        outcome=outcome or previous.outcome,
        client=previous.client if client is None else client,
        clinician=previous.clinician if clinician is None else clinician,
        lapsed=previous.lapsed or lapsed,
    )
    others = tuple(other for other in alliance.recent if other is not previous)
    return replace(alliance, recent=(*others, session)[-LATEST:])


def begun(alliance: Alliance, event: Witnessed) -> Alliance:
    """With the belief as it is before anything is known of this session, once for each session."""
    if not alliance.watched or find(alliance.recent, event.session_id) is not None:
        return alliance
    decayed = probability.faded(alliance.belief)
    return replace(alliance, belief=decayed, signs=alliance.signs if decayed >= FORGOTTEN else ())


def moved(alliance: Alliance, weight: float) -> Alliance:
    """With the belief moved by a sign of this weight, if it may be watched."""
    return replace(alliance, belief=probability.moved(alliance.belief, weight)) if alliance.watched else alliance


def look(observation: Reading, detectors: Sequence[Detector]) -> Alliance:
    """The alliance with the signs that `detectors` find, if it may be watched at all.

    A clinician's answer waits for the client's: the two are judged together, unless a sign stands alone.
    """
    after = observation.after
    if not after.watched or after.ended_at is not None:
        return after
    detected = [sign for detector in detectors for sign in detector(observation)]
    signs = [sign for sign in detected if sign.strength >= WORTH_TELLING]
    session = find(after.recent, observation.fact.session_id)
    waits_for_client = session is not None and session.outcome == "held" and not session.heard_of_client
    is_of_concern = after.belief >= observation.policy.concern and not waits_for_client
    if is_of_concern or any(sign.strength >= 1 and sign.detector in STAND_ALONE for sign in signs):
        reported = [*after.signs, *signs] or sorted(detected, key=_strength)[-1:]
        if reported and (signs or after.open is None):
            return episodes.with_signs(replace(after, signs=()), observation.fact, reported, observation.policy)
        return after
    return after if after.open else replace(after, signs=episodes.strongest([*after.signs, *signs]))


def _said(session: Session, event: FeedbackSubmitted) -> Session:
    """With who has answered, and whether they told of a tension."""
    reported_by, denied_by = session.told, session.denied
    if event.tension == "none":
        denied_by = (*denied_by, event.rater)
    elif event.tension is not None:
        reported_by = (*reported_by, event.rater)
    return replace(session, answered=(*session.answered, event.rater), told=reported_by, denied=denied_by)


def _strength(sign: Evidence) -> float:
    return sign.strength
