"""The alliance as a pure function of what is known of a relationship.

All that moves the score is called from here. The order in which facts arrive does not matter: they are read in
the order in which they happened, each once, every answer as it was last amended. Taking in the fact that happened
next (`evolve`) gives the same, to the bit, as reading everything again (`fold`).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import assert_never
from uuid import UUID

from services.alliance.domain import episodes
from services.alliance.domain.alliance import Alliance, Apartness, Episode, Outcome, Retraction, Session
from services.alliance.domain.detectors import (
    BEHAVIOUR,
    CLIENT,
    CLINICIAN,
    UNRATED,
    Detector,
    Reading,
    Witnessed,
    beside_the_others,
    find,
)
from services.alliance.domain.facts import Fact, as_amended, happened, in_order
from services.alliance.domain.model import ROLLING_WEIGHT, expect, settle, take
from services.alliance.domain.policy import Policy
from shared.events import (
    ClientErased,
    ConsentGiven,
    ConsentWithdrawn,
    Element,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackSubmitted,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
)
from shared.instruments import INSTRUMENTS

LATEST = 4  # appointments kept whole: enough for the form of the last but one to come in
AMENDMENTS = 8  # the latest ones that are looked into for what they retracted, so that a refold stays linear

# How much each kind of withdrawal weighs, and how fast it is forgotten: two missed sessions in a row count.
MISSED, CANCELLED_LATE, SILENT = 1.0, 0.7, 0.6
FADES = 0.7
COMES_BACK = 0.5  # of the withdrawal stays when the next session is held
RELIABLE = 0.6  # of the forms asked for were answered: only then silence says something


def fold(facts: Iterable[Fact], policy: Policy) -> Alliance:
    """Read all that is known, in the order in which it happened."""
    ordered = in_order(facts)
    if erased := _erased(ordered):
        return erased
    alliance, seen = _read(ordered, policy)
    retraction = _retracted_by_amendment(ordered, seen, policy)
    if retraction and (alliance.retracted is None or alliance.retracted.at < retraction.at):
        alliance = replace(alliance, retracted=retraction)
    return alliance


def evolve(alliance: Alliance, fact: Fact, policy: Policy) -> Alliance:
    """Take in the fact that happened next. It never refuses: what has happened has happened."""
    after = replace(alliance, last=happened(fact))
    if alliance.erasure is not None:
        return after
    match fact:
        case ClientErased():
            return Alliance(last=after.last, erasure=fact.id)
        case RelationshipStarted():
            return replace(
                after,
                clinic_id=fact.clinic_id,
                clinician_id=fact.clinician_id,
                case_code=fact.case_code,
                predecessor_id=fact.predecessor_id,
                started_at=fact.occurred_at,
            )
        case RelationshipEnded():
            return episodes.retract(replace(after, ended_at=fact.occurred_at), fact.occurred_at, "ended")
        case ConsentGiven():
            return replace(after, watched=True)
        case ConsentWithdrawn():
            return episodes.retract(replace(after, watched=False), fact.occurred_at, "consent_withdrawn")
        case RelationshipAimsUpdated() | FeedbackAmended():
            return after  # an amendment is read where its answer was first given (see as_amended)
        case SessionCompleted():
            return _held(after, fact, policy)
        case SessionMissed():
            return _stayed_away(after, fact, "missed", MISSED, policy)
        case SessionCancelled():
            late = fact.by == "client" and fact.notice_hours < policy.late_hours
            return _stayed_away(
                after, fact, "cancelled_late" if late else "cancelled", CANCELLED_LATE if late else 0.0, policy
            )
        case FeedbackLapsed():
            return _silence(after, fact, policy)
        case FeedbackSubmitted():
            return _answer(after, fact, policy)
        case _:
            assert_never(fact)


def states(facts: Iterable[Fact], policy: Policy) -> Iterator[tuple[Fact, Alliance, Alliance]]:
    """Each fact in the order in which they happened, with the alliance before and after it."""
    before = Alliance()
    for fact in as_amended(in_order(facts)):
        after = evolve(before, fact, policy)
        yield fact, before, after
        before = after


def rating_of(fact: FeedbackSubmitted) -> float | None:
    """The answer as a score from 0 to 100; none when it is the total of an instrument that we do not know."""
    if fact.ratings:
        return 10 * sum(fact.ratings.values()) / len(fact.ratings)
    instrument = INSTRUMENTS.get(fact.instrument.name) if fact.instrument else None
    if instrument is None or fact.instrument is None or not instrument.holds(fact.instrument.total):
        return None
    return instrument.score(fact.instrument.total)


def _read(ordered: Sequence[Fact], policy: Policy) -> tuple[Alliance, dict[UUID, Episode]]:
    """The alliance, and every episode that was open at some time."""
    alliance = Alliance()
    seen: dict[UUID, Episode] = {}
    for fact in as_amended(ordered):
        alliance = evolve(alliance, fact, policy)
        if alliance.open is not None:
            seen[alliance.open.id] = alliance.open
    return (replace(alliance, last=happened(ordered[-1])) if ordered else alliance), seen


def _erased(ordered: Sequence[Fact]) -> Alliance | None:
    """What is left of a relationship whose client is to be forgotten: that it is so, not even what came before."""
    erasure = next((fact for fact in ordered if isinstance(fact, ClientErased)), None)
    return Alliance(last=happened(ordered[-1]), erasure=erasure.id) if erasure else None


def _retracted_by_amendment(ordered: Sequence[Fact], seen: dict[UUID, Episode], policy: Policy) -> Retraction | None:
    """The last episode that was there before an amendment and is not any more."""
    amendments = [place for place, fact in enumerate(ordered) if isinstance(fact, FeedbackAmended)]
    for place in reversed(amendments[-AMENDMENTS:]):
        _, before = _read(ordered[:place], policy)
        gone = [episode for episode in before.values() if episode.id not in seen]
        if gone:
            return Retraction(gone[-1], ordered[place].occurred_at, "amended")
    return None


def _held(alliance: Alliance, fact: SessionCompleted, policy: Policy) -> Alliance:
    known = find(alliance.recent, fact.session_id)
    if known is not None and known.outcome is not None:
        return alliance  # told before
    after = replace(
        _remember(alliance, fact, outcome="held"),
        sessions=alliance.sessions + 1,
        withdrawal=alliance.withdrawal * COMES_BACK,
    )
    came_back = after.open is not None and episodes.stayed_away_only(after.open)
    return episodes.calmer(after, fact.occurred_at, policy) if came_back else after


def _stayed_away(
    alliance: Alliance, fact: SessionMissed | SessionCancelled, outcome: Outcome, weight: float, policy: Policy
) -> Alliance:
    known = find(alliance.recent, fact.session_id)
    if known is not None and known.outcome is not None:
        return alliance
    after = replace(
        _remember(alliance, fact, outcome=outcome),
        missed=alliance.missed + (outcome == "missed"),
        withdrawal=alliance.withdrawal * FADES + weight if weight else alliance.withdrawal,
    )
    return _look(Reading(fact, alliance, after, policy), BEHAVIOUR)


def _silence(alliance: Alliance, fact: FeedbackLapsed, policy: Policy) -> Alliance:
    session = find(alliance.recent, fact.session_id)
    if fact.rater == "clinician" or not alliance.watched or (session and "client" in session.answered):
        return alliance
    asked = alliance.answered + alliance.lapsed
    reliable = asked >= 3 and alliance.answered >= RELIABLE * asked
    after = replace(
        alliance,
        lapsed=alliance.lapsed + 1,
        withdrawal=alliance.withdrawal * FADES + SILENT if reliable else alliance.withdrawal,
    )
    return _look(Reading(fact, alliance, after, policy), BEHAVIOUR)


def _answer(alliance: Alliance, fact: FeedbackSubmitted, policy: Policy) -> Alliance:
    session = find(alliance.recent, fact.session_id)
    if not alliance.watched or (session is not None and fact.rater in session.answered):
        return alliance
    return _client(alliance, fact, policy) if fact.rater == "client" else _clinician(alliance, fact, policy)


def _client(alliance: Alliance, fact: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating, expected = rating_of(fact), expect(alliance.client, policy)
    after = replace(_remember(alliance, fact, client=rating), answered=alliance.answered + 1)
    if rating is None:
        return _look(Reading(fact, alliance, after, policy), UNRATED)
    after = replace(after, client=take(alliance.client, rating, expected), levels=_levels(alliance, fact))
    after = _look(Reading(fact, alliance, after, policy, rating, expected), CLIENT)
    if after.open is None:
        return _settled(after, fact, rating, policy)
    if after.open.last_sign_at == fact.occurred_at or episodes.stayed_away_only(after.open):
        return after
    return episodes.calmer(after, fact.occurred_at, policy) if rating >= expected.low else episodes.unsettled(after)


def _clinician(alliance: Alliance, fact: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating, expected = rating_of(fact), expect(alliance.clinician, policy)
    after = _remember(alliance, fact, clinician=rating)
    if rating is not None:
        taken = take(alliance.clinician, rating, expected)
        after = replace(after, clinician=taken if alliance.open else settle(taken, rating, expected))
    after = _look(Reading(fact, alliance, after, policy, rating, expected), CLINICIAN)
    return after if after.open else _with_difference(after, fact)


def _settled(alliance: Alliance, fact: FeedbackSubmitted, rating: float, policy: Policy) -> Alliance:
    """Outside an episode what was said becomes part of what is usual."""
    expected = expect(alliance.client, policy)
    elements = dict(alliance.elements)
    if len(fact.ratings) >= 3:
        for element in fact.ratings:
            usual = elements.get(element, Apartness())
            elements[element] = Apartness(usual.count + 1, usual.total + beside_the_others(fact, element))
    after = replace(alliance, client=settle(alliance.client, rating, expected), elements=elements)
    return _with_difference(after, fact)


def _with_difference(alliance: Alliance, fact: FeedbackSubmitted) -> Alliance:
    """Once both have answered about a session, their difference becomes part of what is usual."""
    session = find(alliance.recent, fact.session_id)
    if session is None or session.client is None or session.clinician is None:
        return alliance
    usual = alliance.between
    difference = session.client - session.clinician
    return replace(alliance, between=Apartness(usual.count + 1, usual.total + difference))


def _levels(alliance: Alliance, fact: FeedbackSubmitted) -> dict[Element, float]:
    levels = dict(alliance.levels)
    for element, rating in fact.ratings.items():
        before = levels.get(element, 10 * rating)
        levels[element] = before + ROLLING_WEIGHT * (10 * rating - before)
    return levels


def _look(reading: Reading, detectors: Sequence[Detector]) -> Alliance:
    """The alliance with the signs that `detectors` find, if it may be watched at all."""
    if not reading.after.watched or reading.after.ended_at is not None:
        return reading.after
    signs = [sign for detector in detectors for sign in detector(reading)]
    return episodes.with_signs(reading.after, reading.fact, signs, reading.policy) if signs else reading.after


def _remember(
    alliance: Alliance,
    fact: Witnessed,
    outcome: Outcome | None = None,
    client: float | None = None,
    clinician: float | None = None,
) -> Alliance:
    """Keep what became of an appointment, or what was said of it, among the latest."""
    known = find(alliance.recent, fact.session_id) or Session(fact.session_id, fact.occurred_at)
    answered = (*known.answered, fact.rater) if isinstance(fact, FeedbackSubmitted) else known.answered
    session = Session(
        known.session_id,
        known.at,
        outcome or known.outcome,
        known.client if client is None else client,
        known.clinician if clinician is None else clinician,
        answered,
    )
    others = tuple(s for s in alliance.recent if s.session_id != fact.session_id)
    return replace(alliance, recent=(*others, session)[-LATEST:])
