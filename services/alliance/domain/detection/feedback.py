"""How an alliance changes with an answer by the client or by the clinician."""

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.baseline import (
    append_pair,
    append_rating,
    update_baseline,
    update_element_gaps,
    update_rolling_score,
)
from services.alliance.domain.detection.decision import detect_rupture
from services.alliance.domain.detection.detectors import CLIENT_DETECTORS, CLINICIAN_DETECTORS, Observation
from services.alliance.domain.detection.rating import WeighedRating, weigh_client_rating, weigh_clinician_rating
from services.alliance.domain.detection.sessions import record_session, start_session
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, PairedRatings, RatingGap, Series, Session
from services.alliance.domain.state.fast_replace import replace
from shared.clinical.instruments import score
from shared.events import Element, FeedbackSubmitted


def apply_feedback(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    """Apply the answer of one rater about a session, once, and only with the client's consent."""
    session = alliance.find_session(event.session_id)
    if not alliance.has_consent or (session is not None and event.rater in session.answered_by):
        return alliance
    if session is None:
        alliance, session = start_session(alliance, event)
    apply = _apply_client_feedback if event.rater == "client" else _apply_clinician_feedback
    return apply(alliance, session, event, policy)


def client_outcome(event: FeedbackSubmitted) -> float | None:
    """How the client fares, as reported by the client, from 0 to 100; None if it is missing or cannot be read."""
    if event.outcome is None or event.rater != "client":
        return None
    return score("outcome", event.outcome.name, event.outcome.total)


def _apply_client_feedback(before: Alliance, session: Session, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating = weigh_client_rating(event, before, policy.prior)
    session = _record_answer(session, event, rating)
    weights = [probability.tension_weight(event.tension, event.talked_about)]
    if not session.has_lapsed:
        asked = before.feedback_received + before.feedback_lapsed
        weights.append(probability.missed_weight(False, before.feedback_lapsed, asked, policy.prior.silence))
    if rating is not None:
        weights.append(probability.client_weight(rating.weight, rating.element_weight))
    after = replace(
        before,
        recent_sessions=record_session(before.recent_sessions, session),
        rupture_probability=probability.update(before.rupture_probability, *weights),
        first_feedback_at=before.first_feedback_at or event.occurred_at,
        feedback_received=before.feedback_received + 1,
        feedback_late=before.feedback_late + session.has_lapsed,
        client=_append_rating(before.client, rating, event),
        element_scores=_element_scores(before.element_scores, event),
        paired_ratings=_append_pair(before.paired_ratings, session),
        outcome=_append_outcome(before.outcome, event),
    )
    after = detect_rupture(Observation(event, session, before, after, policy, rating), CLIENT_DETECTORS)
    if rating is None:
        return after
    if not episodes.is_of_concern(after.open_episode):
        after = _update_baselines(after, session, rating)
    return _continue_episode(after, rating, event, policy)


def _apply_clinician_feedback(before: Alliance, session: Session, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating = weigh_clinician_rating(event, before, policy.prior)
    session = _record_answer(session, event, rating)
    weights = [probability.tension_weight(event.tension, event.talked_about)]
    series = _append_rating(before.clinician, rating, event)
    if rating is not None:
        weights.append(rating.weight)
        if not episodes.is_of_concern(before.open_episode):
            series = update_baseline(series, rating.value, rating.expected)
    after = replace(
        before,
        recent_sessions=record_session(before.recent_sessions, session),
        rupture_probability=probability.update(before.rupture_probability, *weights),
        first_feedback_at=before.first_feedback_at or event.occurred_at,
        clinician=series,
        paired_ratings=_append_pair(before.paired_ratings, session),
    )
    after = detect_rupture(Observation(event, session, before, after, policy, rating), CLINICIAN_DETECTORS)
    if episodes.is_of_concern(after.open_episode):
        return after
    return replace(after, rater_gap=_add_difference(after.rater_gap, session))


def _record_answer(session: Session, event: FeedbackSubmitted, rating: WeighedRating | None) -> Session:
    """Record who has answered, the rating, and whether a tension was reported."""
    reported_by, denied_by = session.tension_reported_by, session.tension_denied_by
    if event.tension == "none":
        denied_by = (*denied_by, event.rater)
    elif event.tension is not None:
        reported_by = (*reported_by, event.rater)
    value, is_client = rating.value if rating else None, event.rater == "client"
    return replace(
        session,
        answered_by=(*session.answered_by, event.rater),
        tension_reported_by=reported_by,
        tension_denied_by=denied_by,
        client_rating=value if is_client else session.client_rating,
        clinician_rating=session.clinician_rating if is_client else value,
    )


def _continue_episode(alliance: Alliance, rating: WeighedRating, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    """Apply the client's rating to an episode for which it was no new sign: it is calm, or it is not."""
    episode = alliance.open_episode
    if episode is None or episode.last_sign_at == event.occurred_at or episodes.is_withdrawal_only(episode):
        return alliance
    if rating.value >= rating.expected.low:
        return episodes.record_calm_rating(alliance, episode, event.occurred_at, policy)
    return episodes.reset_calm_ratings(alliance, episode)


def _update_baselines(alliance: Alliance, session: Session, rating: WeighedRating) -> Alliance:
    """Add a client's rating outside an episode of concern to the baselines."""
    gaps = alliance.element_gaps
    if rating.relative_ratings:
        gaps = update_element_gaps(gaps, rating.relative_ratings, rating.expected_relative)
    return replace(
        alliance,
        client=update_baseline(alliance.client, rating.value, rating.expected),
        element_gaps=gaps,
        rater_gap=_add_difference(alliance.rater_gap, session),
    )


def _add_difference(gap: RatingGap, session: Session) -> RatingGap:
    """Once both have rated a session, add their difference to the usual difference."""
    if session.both_ratings is None:
        return gap
    client, clinician = session.both_ratings
    return RatingGap(gap.count + 1, gap.total + (client - clinician))


def _append_pair(pairs: PairedRatings, session: Session) -> PairedRatings:
    """Once both have rated a session, inside an episode or not, add the two ratings to the pairs."""
    return pairs if session.both_ratings is None else append_pair(pairs, *session.both_ratings)


def _append_rating(series: Series, rating: WeighedRating | None, event: FeedbackSubmitted) -> Series:
    return series if rating is None else append_rating(series, rating.value, event.occurred_at, rating.expected)


def _append_outcome(series: Series, event: FeedbackSubmitted) -> Series:
    """The outcome has a series of its own."""
    outcome = client_outcome(event)
    return series if outcome is None else append_rating(series, outcome, event.occurred_at)


def _element_scores(before: dict[Element, float], event: FeedbackSubmitted) -> dict[Element, float]:
    scores = dict(before)
    for element, rating in event.ratings.items():
        scores[element] = update_rolling_score(scores.get(element), 10 * rating)
    return scores
