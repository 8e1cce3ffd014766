"""What it does to an alliance how a session felt, to the client and to the clinician."""

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.baseline import (
    Expectation,
    expect,
    expect_beside,
    level,
    note,
    pair,
    rolled,
    settle,
    settle_beside,
    take,
)
from services.alliance.domain.detection.detectors import (
    CLIENT,
    CLINICIAN,
    UNRATED,
    Reading,
    Witnessed,
    beside_the_others,
    find,
)
from services.alliance.domain.detection.session_updates import begun, look, moved, remember
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Apartness
from services.alliance.domain.state.fast_replace import replace
from shared.clinical.instruments import score
from shared.events import Element, FeedbackSubmitted

SEVERAL = 3  # elements in one answer, below which none can be said to stand apart from the others


def answer(alliance: Alliance, fact: FeedbackSubmitted, policy: Policy) -> Alliance:
    """Take in how a session felt to one of the two, once, and only with the client's consent."""
    session = find(alliance.recent, fact.session_id)
    if not alliance.watched or (session is not None and fact.rater in session.answered):
        return alliance
    before = begun(alliance, fact)
    if before.heard_since is None:
        before = replace(before, heard_since=fact.occurred_at)
    of_client = fact.rater == "client"
    after = _client(before, fact, policy) if of_client else _clinician(before, fact, policy)
    return _paired(_fares(after, fact) if of_client else after, fact)


def rating_of(fact: FeedbackSubmitted) -> float | None:
    """The answer as a score from 0 to 100; none when it is the total of an instrument that we do not know."""
    if fact.ratings:
        return 10 * sum(fact.ratings.values()) / len(fact.ratings)
    return score("alliance", fact.instrument.name, fact.instrument.total) if fact.instrument else None


def outcome_of(fact: FeedbackSubmitted) -> float | None:
    """How the client fares by the client's own word, from 0 to 100; none where it was not said, or cannot be read."""
    if fact.outcome is None or fact.rater != "client":
        return None
    return score("outcome", fact.outcome.name, fact.outcome.total)


def _client(alliance: Alliance, fact: FeedbackSubmitted, policy: Policy) -> Alliance:
    session = find(alliance.recent, fact.session_id)
    rating, expected = rating_of(fact), expect(alliance.client, policy.prior.client, fact.occurred_at)
    late = session is not None and session.lapsed
    after = replace(remember(alliance, fact, client=rating), answered=alliance.answered + 1, late=alliance.late + late)
    after = moved(after, probability.told(fact.tension, fact.talked_about))
    if not late:
        asked = alliance.answered + alliance.lapsed
        after = moved(after, probability.missed(False, alliance.lapsed, asked, policy.prior.silence))
    if rating is None:
        return look(Reading(fact, alliance, after, policy), UNRATED)
    reading = _weighed(Reading(fact, alliance, after, policy, rating, expected))
    after = replace(
        moved(after, probability.clients(reading.whole, reading.few)),
        client=take(alliance.client, rating, expected, fact.occurred_at),
        levels=_levels(alliance, fact),
    )
    after = look(replace(reading, after=after), CLIENT)
    if not episodes.of_concern(after.open):
        after = _settled(after, reading, rating, expected)
    if after.open is None or after.open.last_sign_at == fact.occurred_at or episodes.stayed_away_only(after.open):
        return after
    return episodes.calmer(after, fact.occurred_at, policy) if rating >= expected.low else episodes.unsettled(after)


def _clinician(alliance: Alliance, fact: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating, expected = rating_of(fact), expect(alliance.clinician, policy.prior.clinician, fact.occurred_at)
    after = moved(remember(alliance, fact, clinician=rating), probability.told(fact.tension, fact.talked_about))
    reading = Reading(fact, alliance, after, policy, rating, expected)
    if rating is not None:
        if alliance.clinician.usual:
            reading = replace(reading, whole=probability.clinicians(probability.fell(rating, expected)))
        taken = take(alliance.clinician, rating, expected, fact.occurred_at)
        held = episodes.of_concern(alliance.open)
        after = replace(moved(after, reading.whole), clinician=taken if held else settle(taken, rating, expected))
    after = look(replace(reading, after=after), CLINICIAN)
    return after if episodes.of_concern(after.open) else _with_difference(after, fact)


def _weighed(reading: Reading) -> Reading:
    """What the client's rating weighs as a whole, and what each element weighs beside the others."""
    fact, before, prior = reading.fact, reading.before, reading.policy.prior
    if reading.rating is None or reading.expected is None or not isinstance(fact, FeedbackSubmitted):
        return reading
    whole = probability.fell(reading.rating, reading.expected) if before.client.usual else 0.0
    apart = {e: beside_the_others(fact, e) for e in sorted(fact.ratings)} if len(fact.ratings) >= SEVERAL else {}
    beside = replace(before.beside, elements={e: before.beside.elements.get(e, Apartness()) for e in apart})
    at = level(before.client, prior.client)
    expected = expect_beside(beside, prior.element, at)
    known = [probability.fell(apart[e], expected[e]) for e in apart if beside.elements[e].count]
    return replace(
        reading, whole=whole, few=probability.one_of(known) if known else None, apart=apart, expected_apart=expected
    )


def _settled(alliance: Alliance, reading: Reading, rating: float, expected: Expectation) -> Alliance:
    """Outside an episode what was said becomes part of what is usual."""
    beside = alliance.beside
    if reading.apart:
        known = beside.elements | {e: beside.elements.get(e, Apartness()) for e in reading.apart}
        beside = settle_beside(replace(beside, elements=known), reading.apart, reading.expected_apart)
    after = replace(alliance, client=settle(alliance.client, rating, expected), beside=beside)
    return _with_difference(after, reading.fact)


def _with_difference(alliance: Alliance, fact: Witnessed) -> Alliance:
    """Once both have answered about a session, their difference becomes part of what is usual."""
    session = find(alliance.recent, fact.session_id)
    if session is None or session.client is None or session.clinician is None:
        return alliance
    usual = alliance.between
    difference = session.client - session.clinician
    return replace(alliance, between=Apartness(usual.count + 1, usual.total + difference))


def _paired(alliance: Alliance, fact: FeedbackSubmitted) -> Alliance:
    """Once both have answered about a session, episode or not, it tells how far they are apart."""
    session = find(alliance.recent, fact.session_id)
    if session is None or session.client is None or session.clinician is None:
        return alliance
    return replace(alliance, pairs=pair(alliance.pairs, session.client, session.clinician))


def _fares(alliance: Alliance, fact: FeedbackSubmitted) -> Alliance:
    """How the client fares has a series of its own."""
    fares = outcome_of(fact)
    return alliance if fares is None else replace(alliance, outcome=note(alliance.outcome, fares, fact.occurred_at))


def _levels(alliance: Alliance, fact: FeedbackSubmitted) -> dict[Element, float]:
    levels = dict(alliance.levels)
    for element, rating in fact.ratings.items():
        levels[element] = rolled(levels.get(element), 10 * rating)
    return levels
