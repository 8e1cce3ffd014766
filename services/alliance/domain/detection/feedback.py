"""How an alliance changes with an answer by the client or by the clinician."""

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.baseline import (
    Expectation,
    append_expected_rating,
    append_pair,
    append_rating,
    baseline_level,
    expect_rating,
    expect_relative,
    update_baseline,
    update_element_gaps,
    update_rolling_score,
)
from services.alliance.domain.detection.detectors import (
    CLIENT_DETECTORS,
    CLINICIAN_DETECTORS,
    UNRATED_DETECTORS,
    Observation,
    ObservedEvent,
    find_session,
    relative_to_others,
)
from services.alliance.domain.detection.session_updates import (
    detect_signs,
    record_session,
    start_session,
    update_probability,
)
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, RatingGap
from services.alliance.domain.state.fast_replace import replace
from shared.clinical.instruments import score
from shared.events import Element, FeedbackSubmitted

MIN_RELATIVE_ELEMENTS = 3  # fewer elements in one answer cannot be compared with each other


def apply_feedback(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    """Apply the answer of one rater about a session, once, and only with the client's consent."""
    session = find_session(alliance.recent_sessions, event.session_id)
    if not alliance.has_consent or (session is not None and event.rater in session.answered_by):
        return alliance
    before = start_session(alliance, event)
    if before.first_feedback_at is None:
        before = replace(before, first_feedback_at=event.occurred_at)
    is_client = event.rater == "client"
    after = (
        _apply_client_feedback(before, event, policy) if is_client else _apply_clinician_feedback(before, event, policy)
    )
    return _update_paired_ratings(_record_outcome(after, event) if is_client else after, event)


def rating_of(event: FeedbackSubmitted) -> float | None:
    """The answer as a score from 0 to 100; None if it is the total of an unknown instrument."""
    if event.ratings:
        return 10 * sum(event.ratings.values()) / len(event.ratings)
    return score("alliance", event.instrument.name, event.instrument.total) if event.instrument else None


def client_outcome(event: FeedbackSubmitted) -> float | None:
    """How the client fares, as reported by the client, from 0 to 100; None if it is missing or cannot be read."""
    if event.outcome is None or event.rater != "client":
        return None
    return score("outcome", event.outcome.name, event.outcome.total)


def _apply_client_feedback(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    session = find_session(alliance.recent_sessions, event.session_id)
    rating, expected = rating_of(event), expect_rating(alliance.client, policy.prior.client, event.occurred_at)
    is_late = session is not None and session.has_lapsed
    after = replace(
        record_session(alliance, event, client_rating=rating),
        feedback_received=alliance.feedback_received + 1,
        feedback_late=alliance.feedback_late + is_late,
    )
    after = update_probability(after, probability.tension_weight(event.tension, event.talked_about))
    if not is_late:
        feedback_asked = alliance.feedback_received + alliance.feedback_lapsed
        after = update_probability(
            after, probability.missed_weight(False, alliance.feedback_lapsed, feedback_asked, policy.prior.silence)
        )
    if rating is None:
        return detect_signs(Observation(event, alliance, after, policy), UNRATED_DETECTORS)
    observation = _weigh_rating(Observation(event, alliance, after, policy, rating, expected))
    after = replace(
        update_probability(after, probability.client_weight(observation.rating_weight, observation.element_weight)),
        client=append_expected_rating(alliance.client, rating, expected, event.occurred_at),
        element_scores=_element_scores(alliance, event),
    )
    after = detect_signs(replace(observation, after=after), CLIENT_DETECTORS)
    if not episodes.is_of_concern(after.open_episode):
        after = _update_baselines(after, observation, rating, expected)
    if (
        after.open_episode is None
        or after.open_episode.last_sign_at == event.occurred_at
        or episodes.is_withdrawal_only(after.open_episode)
    ):
        return after
    return (
        episodes.record_calm_rating(after, event.occurred_at, policy)
        if rating >= expected.low
        else episodes.reset_calm_ratings(after)
    )


def _apply_clinician_feedback(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating, expected = rating_of(event), expect_rating(alliance.clinician, policy.prior.clinician, event.occurred_at)
    after = update_probability(
        record_session(alliance, event, clinician_rating=rating),
        probability.tension_weight(event.tension, event.talked_about),
    )
    observation = Observation(event, alliance, after, policy, rating, expected)
    if rating is not None:
        if alliance.clinician.baseline_count:
            observation = replace(
                observation, rating_weight=probability.clinician_weight(probability.rating_weight(rating, expected))
            )
        series = append_expected_rating(alliance.clinician, rating, expected, event.occurred_at)
        is_baseline_frozen = episodes.is_of_concern(alliance.open_episode)
        after = replace(
            update_probability(after, observation.rating_weight),
            clinician=series if is_baseline_frozen else update_baseline(series, rating, expected),
        )
    after = detect_signs(replace(observation, after=after), CLINICIAN_DETECTORS)
    return after if episodes.is_of_concern(after.open_episode) else _update_rater_gap(after, event)


def _weigh_rating(observation: Observation) -> Observation:
    """Add the weight of the client's rating as a whole, and that of its elements relative to each other."""
    event, before, prior = observation.event, observation.before, observation.policy.prior
    if observation.rating is None or observation.expected is None or not isinstance(event, FeedbackSubmitted):
        return observation
    rating_weight = (
        probability.rating_weight(observation.rating, observation.expected) if before.client.baseline_count else 0.0
    )
    relative_ratings = (
        {element: relative_to_others(event, element) for element in sorted(event.ratings)}
        if len(event.ratings) >= MIN_RELATIVE_ELEMENTS
        else {}
    )
    element_gaps = replace(
        before.element_gaps,
        elements={element: before.element_gaps.elements.get(element, RatingGap()) for element in relative_ratings},
    )
    baseline = baseline_level(before.client, prior.client)
    expected = expect_relative(element_gaps, prior.element, baseline)
    element_weights = [
        probability.rating_weight(relative_ratings[element], expected[element])
        for element in relative_ratings
        if element_gaps.elements[element].count
    ]
    return replace(
        observation,
        rating_weight=rating_weight,
        element_weight=probability.single_element_weight(element_weights) if element_weights else None,
        relative_ratings=relative_ratings,
        expected_relative=expected,
    )


def _update_baselines(alliance: Alliance, observation: Observation, rating: float, expected: Expectation) -> Alliance:
    """Add an answer outside an episode to the baselines."""
    element_gaps = alliance.element_gaps
    if observation.relative_ratings:
        gaps = element_gaps.elements | {
            element: element_gaps.elements.get(element, RatingGap()) for element in observation.relative_ratings
        }
        element_gaps = update_element_gaps(
            replace(element_gaps, elements=gaps), observation.relative_ratings, observation.expected_relative
        )
    after = replace(alliance, client=update_baseline(alliance.client, rating, expected), element_gaps=element_gaps)
    return _update_rater_gap(after, observation.event)


def _update_rater_gap(alliance: Alliance, event: ObservedEvent) -> Alliance:
    """Once both have rated a session, add their difference to the usual difference."""
    session = find_session(alliance.recent_sessions, event.session_id)
    if session is None or session.client_rating is None or session.clinician_rating is None:
        return alliance
    gap = alliance.rater_gap
    difference = session.client_rating - session.clinician_rating
    return replace(alliance, rater_gap=RatingGap(gap.count + 1, gap.total + difference))


def _update_paired_ratings(alliance: Alliance, event: FeedbackSubmitted) -> Alliance:
    """Once both have rated a session, inside an episode or not, add the two ratings to the pairs."""
    session = find_session(alliance.recent_sessions, event.session_id)
    if session is None or session.client_rating is None or session.clinician_rating is None:
        return alliance
    return replace(
        alliance, paired_ratings=append_pair(alliance.paired_ratings, session.client_rating, session.clinician_rating)
    )


def _record_outcome(alliance: Alliance, event: FeedbackSubmitted) -> Alliance:
    """The outcome has a series of its own."""
    outcome = client_outcome(event)
    return (
        alliance
        if outcome is None
        else replace(alliance, outcome=append_rating(alliance.outcome, outcome, event.occurred_at))
    )


def _element_scores(alliance: Alliance, event: FeedbackSubmitted) -> dict[Element, float]:
    scores = dict(alliance.element_scores)
    for element, rating in event.ratings.items():
        scores[element] = update_rolling_score(scores.get(element), 10 * rating)
    return scores
