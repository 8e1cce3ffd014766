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


def answer(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    """Take in how a session felt to one of the two, once, and only with the client's consent."""
    session = find(alliance.recent, event.session_id)
    if not alliance.watched or (session is not None and event.rater in session.answered):
        return alliance
    before = begun(alliance, event)
    if before.heard_since is None:
        before = replace(before, heard_since=event.occurred_at)
    is_client = event.rater == "client"
    after = _client(before, event, policy) if is_client else _clinician(before, event, policy)
    return _paired(_fares(after, event) if is_client else after, event)


def rating_of(event: FeedbackSubmitted) -> float | None:
    """The answer as a score from 0 to 100; none when it is the total of an instrument that we do not know."""
    if event.ratings:
        return 10 * sum(event.ratings.values()) / len(event.ratings)
    return score("alliance", event.instrument.name, event.instrument.total) if event.instrument else None


def outcome_of(event: FeedbackSubmitted) -> float | None:
    """How the client fares by the client's own word, from 0 to 100; none where it was not said, or cannot be read."""
    if event.outcome is None or event.rater != "client":
        return None
    return score("outcome", event.outcome.name, event.outcome.total)


def _client(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    session = find(alliance.recent, event.session_id)
    rating, expected = rating_of(event), expect(alliance.client, policy.prior.client, event.occurred_at)
    is_late = session is not None and session.lapsed
    after = replace(
        remember(alliance, event, client=rating), answered=alliance.answered + 1, late=alliance.late + is_late
    )
    after = moved(after, probability.told(event.tension, event.talked_about))
    if not is_late:
        feedback_asked = alliance.answered + alliance.lapsed
        after = moved(after, probability.missed(False, alliance.lapsed, feedback_asked, policy.prior.silence))
    if rating is None:
        return look(Reading(event, alliance, after, policy), UNRATED)
    observation = _weighed(Reading(event, alliance, after, policy, rating, expected))
    after = replace(
        moved(after, probability.clients(observation.whole, observation.few)),
        client=take(alliance.client, rating, expected, event.occurred_at),
        levels=_levels(alliance, event),
    )
    after = look(replace(observation, after=after), CLIENT)
    if not episodes.of_concern(after.open):
        after = _settled(after, observation, rating, expected)
    if after.open is None or after.open.last_sign_at == event.occurred_at or episodes.stayed_away_only(after.open):
        return after
    return episodes.calmer(after, event.occurred_at, policy) if rating >= expected.low else episodes.unsettled(after)


def _clinician(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating, expected = rating_of(event), expect(alliance.clinician, policy.prior.clinician, event.occurred_at)
    after = moved(remember(alliance, event, clinician=rating), probability.told(event.tension, event.talked_about))
    observation = Reading(event, alliance, after, policy, rating, expected)
    if rating is not None:
        if alliance.clinician.usual:
            observation = replace(observation, whole=probability.clinicians(probability.fell(rating, expected)))
        series = take(alliance.clinician, rating, expected, event.occurred_at)
        is_baseline_frozen = episodes.of_concern(alliance.open)
        after = replace(
            moved(after, observation.whole),
            clinician=series if is_baseline_frozen else settle(series, rating, expected),
        )
    after = look(replace(observation, after=after), CLINICIAN)
    return after if episodes.of_concern(after.open) else _with_difference(after, event)


def _weighed(observation: Reading) -> Reading:
    """What the client's rating weighs as a whole, and what each element weighs beside the others."""
    event, before, prior = observation.fact, observation.before, observation.policy.prior
    if observation.rating is None or observation.expected is None or not isinstance(event, FeedbackSubmitted):
        return observation
    rating_weight = probability.fell(observation.rating, observation.expected) if before.client.usual else 0.0
    relative_ratings = (
        {element: beside_the_others(event, element) for element in sorted(event.ratings)}
        if len(event.ratings) >= SEVERAL
        else {}
    )
    element_gaps = replace(
        before.beside,
        elements={element: before.beside.elements.get(element, Apartness()) for element in relative_ratings},
    )
    baseline = level(before.client, prior.client)
    expected = expect_beside(element_gaps, prior.element, baseline)
    element_weights = [
        probability.fell(relative_ratings[element], expected[element])
        for element in relative_ratings
        if element_gaps.elements[element].count
    ]
    return replace(
        observation,
        whole=rating_weight,
        few=probability.one_of(element_weights) if element_weights else None,
        apart=relative_ratings,
        expected_apart=expected,
    )


def _settled(alliance: Alliance, observation: Reading, rating: float, expected: Expectation) -> Alliance:
    """Outside an episode what was said becomes part of what is usual."""
    element_gaps = alliance.beside
    if observation.apart:
        gaps = element_gaps.elements | {
            element: element_gaps.elements.get(element, Apartness()) for element in observation.apart
        }
        element_gaps = settle_beside(
            replace(element_gaps, elements=gaps), observation.apart, observation.expected_apart
        )
    after = replace(alliance, client=settle(alliance.client, rating, expected), beside=element_gaps)
    return _with_difference(after, observation.fact)


def _with_difference(alliance: Alliance, event: Witnessed) -> Alliance:
    """Once both have answered about a session, their difference becomes part of what is usual."""
    session = find(alliance.recent, event.session_id)
    if session is None or session.client is None or session.clinician is None:
        return alliance
    gap = alliance.between
    difference = session.client - session.clinician
    return replace(alliance, between=Apartness(gap.count + 1, gap.total + difference))


def _paired(alliance: Alliance, event: FeedbackSubmitted) -> Alliance:
    """Once both have answered about a session, episode or not, it tells how far they are apart."""
    session = find(alliance.recent, event.session_id)
    if session is None or session.client is None or session.clinician is None:
        return alliance
    return replace(alliance, pairs=pair(alliance.pairs, session.client, session.clinician))


def _fares(alliance: Alliance, event: FeedbackSubmitted) -> Alliance:
    """How the client fares has a series of its own."""
    outcome = outcome_of(event)
    return (
        alliance if outcome is None else replace(alliance, outcome=note(alliance.outcome, outcome, event.occurred_at))
    )


def _levels(alliance: Alliance, event: FeedbackSubmitted) -> dict[Element, float]:
    scores = dict(alliance.levels)
    for element, rating in event.ratings.items():
        scores[element] = rolled(scores.get(element), 10 * rating)
    return scores
