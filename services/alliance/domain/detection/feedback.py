"""How an alliance changes with an answer by the client or by the clinician."""

from services.alliance.domain.detection import components, episodes, floor, scale, weights
from services.alliance.domain.detection.baseline import (
    append_pair,
    append_rating,
    expect_rating,
    follow_rise,
    update_baseline,
    update_element_gaps,
    update_rolling_score,
)
from services.alliance.domain.detection.decision import detect_rupture
from services.alliance.domain.detection.detectors import (
    CLIENT_DETECTORS,
    CLINICIAN_DETECTORS,
    Observation,
    is_low_again,
)
from services.alliance.domain.detection.rating import (
    ExpectedRating,
    compare_client_rating,
    compare_clinician_rating,
)
from services.alliance.domain.detection.sessions import record_session, start_session
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, EndedEpisode, Episode, Habit, Session
from services.alliance.domain.state.fast_replace import replace
from services.alliance.domain.state.ratings import PairedRatings, RatingGap, Series
from shared.clinical.instruments import score
from shared.events import Element, FeedbackSubmitted, LevelShift


def apply_feedback(alliance: Alliance, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    """Apply the answer of one rater about a session, once, and only with the client's consent."""
    session = alliance.find_session(event.session_id)
    if not alliance.has_consent or (session is not None and event.rater in session.answered_by):
        return alliance
    if session is None:
        alliance, session = start_session(alliance, event)
    if event.rater == "clinician":
        return _apply_clinician_feedback(alliance, session, event, policy)
    alliance = scale.switch_scale(alliance, event)
    return _supersede(alliance, session, event, policy) or _apply_client_feedback(alliance, session, event, policy)


def client_outcome(event: FeedbackSubmitted) -> float | None:
    """How the client fares, as reported by the client, from 0 to 100; None if it is missing or cannot be read."""
    if event.outcome is None or event.rater != "client":
        return None
    return score("outcome", event.outcome.name, event.outcome.total)


def _supersede(before: Alliance, session: Session, event: FeedbackSubmitted, policy: Policy) -> Alliance | None:
    """The alliance with a second rupture in place of the open one; None if the answer is none.

    It is one if it would open an episode of concern compared with the level since the first began.
    """
    episode = before.open_episode
    if episode is None or episode.ratings < episodes.MIN_LEVEL_RATINGS or not episodes.is_of_concern(episode):
        return None
    restarted = replace(episodes.restart_baselines(before, episode, policy), open_episode=None)
    rating = compare_client_rating(event, restarted, policy.prior)
    weight = weights.add(_client_signals(restarted, session, event, rating, policy).values())
    probabilities = components.update(restarted.components, weight)
    if components.rupture_probability(probabilities, policy.base_rate) < policy.concern:
        return None  # as nearly always; the rest of the answer need not be applied to find that out
    after = _apply_client_feedback(restarted, session, event, policy)
    new_episode = after.open_episode
    if new_episode is None or (new_episode.probability or 0.0) < policy.concern:
        return None
    ended = episodes.end_open_episode(after, EndedEpisode(episode, event.occurred_at, "superseded", new_episode.id))
    return replace(ended, open_episode=new_episode)


def _apply_client_feedback(before: Alliance, session: Session, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating = compare_client_rating(event, before, policy.prior)
    signals = _client_signals(before, session, event, rating, policy)
    session = _record_answer(session, event, rating)
    after = replace(
        before,
        recent_sessions=record_session(before.recent_sessions, session),
        components=components.update(before.components, weights.add(signals.values())),
        first_feedback_at=before.first_feedback_at or event.occurred_at,
        feedback_received=before.feedback_received + 1,
        feedback_late=before.feedback_late + session.has_lapsed,
        client_tension=_add_report(before.client_tension, event),
        client=_append_rating(before.client, rating, event),
        element_scores=_element_scores(before.element_scores, event),
        paired_ratings=_append_pair(before.paired_ratings, session),
        outcome=_append_outcome(before.outcome, event),
    )
    after = detect_rupture(Observation(event, session, before, after, policy, rating, signals), CLIENT_DETECTORS)
    if rating is None:
        return after
    return _continue_episode(_update_baselines(after, session, rating, event), rating, event, policy)


def _client_signals(
    before: Alliance, session: Session, event: FeedbackSubmitted, rating: ExpectedRating | None, policy: Policy
) -> dict[str, weights.Weights]:
    signals: dict[str, weights.Weights] = {}
    if rating is not None and rating.expected.is_known:
        signals["rating"] = weights.client_rating_weights(rating.value, rating.expected)
        if rating.relative_ratings:
            signals["elements"] = weights.element_weights(rating.relative_ratings, rating.expected_relative)
    if not session.has_lapsed:
        asked = before.feedback_received + before.feedback_lapsed
        signals["silence"] = weights.silence_weights(False, before.feedback_lapsed, asked, policy.prior.silence)
    if event.tension is not None:
        habit = before.client_tension
        signals["tension"] = weights.tension_weights(event.tension, event.talked_about, habit.happened, habit.asked)
    return signals


def _apply_clinician_feedback(before: Alliance, session: Session, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    rating = compare_clinician_rating(event, before, policy.prior)
    signals: dict[str, weights.Weights] = {}
    if rating is not None and rating.expected.is_known:
        signals["rating"] = weights.clinician_rating_weights(rating.value, rating.expected)
    if event.tension is not None:
        habit = before.clinician_tension
        signals["tension"] = weights.tension_weights(event.tension, event.talked_about, habit.happened, habit.asked)
    session = _record_answer(session, event, rating)
    probabilities = components.update(before.components, weights.add(signals.values()))
    series = _append_rating(before.clinician, rating, event)
    if rating is not None:
        series = update_baseline(series, rating.value, rating.expected, probabilities[components.CALM])
    after = replace(
        before,
        recent_sessions=record_session(before.recent_sessions, session),
        components=probabilities,
        first_feedback_at=before.first_feedback_at or event.occurred_at,
        clinician_tension=_add_report(before.clinician_tension, event),
        clinician=series,
        paired_ratings=_append_pair(before.paired_ratings, session),
    )
    after = detect_rupture(Observation(event, session, before, after, policy, rating, signals), CLINICIAN_DETECTORS)
    if rating is not None:
        after = _end_lasting_difference(_continue_episode_without_client(after, rating, event, policy), rating, event)
    if episodes.is_of_concern(after.open_episode):
        return after
    return replace(after, rater_gap=_add_difference(after.rater_gap, session))


def _add_report(habit: Habit, event: FeedbackSubmitted) -> Habit:
    if event.tension is None:
        return habit
    return Habit(habit.asked + 1, habit.happened + (event.tension != "none"))


def _record_answer(session: Session, event: FeedbackSubmitted, rating: ExpectedRating | None) -> Session:
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


def _continue_episode(alliance: Alliance, rating: ExpectedRating, event: FeedbackSubmitted, policy: Policy) -> Alliance:
    """Apply the client's rating to the open episode: it is a new sign, calm, or shows another level."""
    is_comparable, is_at_floor = rating.expected.is_known, floor.is_at_floor(rating.value, event.ratings)
    if is_comparable:
        alliance = _end_shifted_level(alliance)
    episode = alliance.open_episode
    if episode is None:
        return alliance
    if episodes.is_without_client(episode) and not episodes.is_withdrawal_only(episode):
        episode = replace(episode, calm_ratings=0)  # from now on only the client's ratings count
    episode = replace(episode, ratings=episode.ratings + 1)
    alliance = replace(alliance, open_episode=episode)
    if not is_comparable and not is_at_floor:
        return alliance
    low = _low_limit(alliance, episode, rating, policy)
    if episode.last_sign_at != event.occurred_at and not episodes.is_withdrawal_only(episode):
        if rating.value >= low and not is_at_floor:
            alliance = episodes.record_calm_rating(alliance, episode, event.occurred_at, policy)
        else:
            alliance = episodes.reset_calm_ratings(alliance, episode)
    still_open = alliance.open_episode
    # A calm rating may be the first of a repair.
    if still_open is None or still_open.calm_ratings or is_at_floor:
        return alliance
    is_low = rating.value < low or episodes.is_low_rating(still_open, event)
    if not is_low or episodes.is_said_directly(still_open, event):
        return alliance
    if not episodes.is_level_shift(still_open, event.occurred_at):
        return alliance
    return episodes.end_with_level_shift(alliance, still_open, event.occurred_at, policy)


def _continue_episode_without_client(
    alliance: Alliance, rating: ExpectedRating, event: FeedbackSubmitted, policy: Policy
) -> Alliance:
    """Apply the clinician's rating to the open episode, if the client has neither rated nor reported anything in it."""
    episode = alliance.open_episode
    if episode is None or not episodes.is_without_client(episode) or episodes.is_withdrawal_only(episode):
        return alliance
    if rating.value < rating.expected.low:
        if episodes.is_clinician_level_shift(alliance, episode, event.occurred_at):
            return episodes.end_with_clinician_level_shift(alliance, episode, event.occurred_at, "lower")
        return episodes.reset_calm_ratings(alliance, episode)
    if event.tension in ("a_little", "yes"):
        return alliance
    return episodes.record_calm_rating(alliance, episode, event.occurred_at, policy)


def _end_lasting_difference(alliance: Alliance, rating: ExpectedRating, event: FeedbackSubmitted) -> Alliance:
    """End an episode in which the clinician has long rated at another level than before, and the client has not."""
    episode = alliance.open_episode
    if episode is None or not episodes.is_apart(episode, event) or episodes.is_said_directly(episode, event):
        return alliance
    if not episodes.is_level_shift(episode, event.occurred_at):
        return alliance
    direction: LevelShift = "higher" if rating.value > rating.expected.mean else "lower"
    return episodes.end_with_clinician_level_shift(alliance, episode, event.occurred_at, direction)


def _low_limit(alliance: Alliance, episode: Episode, rating: ExpectedRating, policy: Policy) -> float:
    """The lower end of what is usual, also of what was usual before the episode on another scale."""
    usual = episodes.usual_series(alliance, episode)
    if usual is alliance.client:
        return rating.expected.low
    return max(rating.expected.low, expect_rating(usual, policy.prior.client).low)


def _end_shifted_level(alliance: Alliance) -> Alliance:
    """Forget that the level has shifted once the rolling score is back where it was usual before."""
    shifted, score = alliance.shifted_level, alliance.client.rolling_score
    if shifted is None or score is None:
        return alliance
    is_back = score >= shifted.usual_limit if shifted.direction == "lower" else score <= shifted.usual_limit
    return replace(alliance, shifted_level=None) if is_back else alliance


def _update_baselines(
    alliance: Alliance, session: Session, rating: ExpectedRating, event: FeedbackSubmitted
) -> Alliance:
    """Add a client's rating to the floor, and to the baselines the less the likelier a rupture is."""
    calm, gaps, rater_gap = alliance.components[components.CALM], alliance.element_gaps, alliance.rater_gap
    if rating.relative_ratings:
        ratings_before = alliance.client.ratings - 1
        gaps = update_element_gaps(gaps, rating.relative_ratings, rating.expected_relative, calm, ratings_before)
    if not episodes.is_of_concern(alliance.open_episode):
        rater_gap = _add_difference(rater_gap, session)
    return replace(
        alliance,
        client=follow_rise(update_baseline(alliance.client, rating.value, rating.expected, calm), rating.expected),
        element_gaps=gaps,
        rater_gap=rater_gap,
        floor=floor.update_floor(alliance.floor, rating.value, event.ratings),
        resolved_level=None if is_low_again(alliance, rating) else alliance.resolved_level,
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


def _append_rating(series: Series, rating: ExpectedRating | None, event: FeedbackSubmitted) -> Series:
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
