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
    fact: Witnessed,
    outcome: Outcome | None = None,
    client: float | None = None,
    clinician: float | None = None,
    lapsed: bool = False,
) -> Alliance:
    """Keep what became of an appointment, or what was said of it, among the latest."""
    known = find(alliance.recent, fact.session_id) or Session(fact.session_id, fact.occurred_at)
    session = replace(
        _said(known, fact) if isinstance(fact, FeedbackSubmitted) else known,
        number=alliance.sessions + 1 if outcome == "held" else known.number,
        outcome=outcome or known.outcome,
        client=known.client if client is None else client,
        clinician=known.clinician if clinician is None else clinician,
        lapsed=known.lapsed or lapsed,
    )
    others = tuple(s for s in alliance.recent if s is not known)
    return replace(alliance, recent=(*others, session)[-LATEST:])


def begun(alliance: Alliance, fact: Witnessed) -> Alliance:
    """With the belief as it is before anything is known of this session, once for each session."""
    if not alliance.watched or find(alliance.recent, fact.session_id) is not None:
        return alliance
    faded = probability.faded(alliance.belief)
    return replace(alliance, belief=faded, signs=alliance.signs if faded >= FORGOTTEN else ())


def moved(alliance: Alliance, weight: float) -> Alliance:
    """With the belief moved by a sign of this weight, if it may be watched."""
    return replace(alliance, belief=probability.moved(alliance.belief, weight)) if alliance.watched else alliance


def look(reading: Reading, detectors: Sequence[Detector]) -> Alliance:
    """The alliance with the signs that `detectors` find, if it may be watched at all.

    A clinician's answer waits for the client's: the two are judged together, unless a sign stands alone.
    """
    after = reading.after
    if not after.watched or after.ended_at is not None:
        return after
    found = [sign for detector in detectors for sign in detector(reading)]
    signs = [sign for sign in found if sign.strength >= WORTH_TELLING]
    session = find(after.recent, reading.fact.session_id)
    waits = session is not None and session.outcome == "held" and not session.heard_of_client
    believed = after.belief >= reading.policy.concern and not waits
    if believed or any(sign.strength >= 1 and sign.detector in STAND_ALONE for sign in signs):
        telling = [*after.signs, *signs] or sorted(found, key=_strength)[-1:]
        if telling and (signs or after.open is None):
            return episodes.with_signs(replace(after, signs=()), reading.fact, telling, reading.policy)
        return after
    return after if after.open else replace(after, signs=episodes.strongest([*after.signs, *signs]))


def _said(session: Session, fact: FeedbackSubmitted) -> Session:
    """With who has answered, and whether they told of a tension."""
    told, denied = session.told, session.denied
    if fact.tension == "none":
        denied = (*denied, fact.rater)
    elif fact.tension is not None:
        told = (*told, fact.rater)
    return replace(session, answered=(*session.answered, fact.rater), told=told, denied=denied)


def _strength(sign: Evidence) -> float:
    return sign.strength
