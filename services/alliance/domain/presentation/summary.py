"""A summary of an alliance: its level, its trend, the difference between the raters, and how far to trust the ratings.

Pure functions of the state, in points of 0 to 100 unless noted otherwise.
"""

from datetime import datetime
from math import sqrt
from typing import TypeAlias

from pydantic import ConfigDict, Field

from services.alliance.domain.detection.absences import COUNTED_ATTENDANCES
from services.alliance.domain.detection.baseline import BAND_SPREADS, RECENT_RATINGS_LIMIT, Expectation, expect_rating
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.ratings import PairedRatings, Series
from shared.events import Direction, Information, Score, Standing
from shared.runtime.model import Model

Ratio: TypeAlias = float

MIN_TREND_RATINGS = 4  # with fewer ratings there is no trend
MIN_CONSTANT_STREAK = 5  # this many ratings in a row that equal the one before carry little information
MIN_PAIRED_SESSIONS = 6  # with fewer sessions that both have rated there is no correlation


class _SummaryModel(Model):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Trend(_SummaryModel):
    """The direction of the client's latest ratings, at most six."""

    direction: Direction
    """`steady` if the band of the slope contains 0."""
    slope: float
    """Points per rating."""
    low: float
    high: float
    """In four of five cases the slope is between `low` and `high`."""
    ratings: int


class RatingDifference(_SummaryModel):
    """The client's rating minus the clinician's, over the sessions that both have rated."""

    sessions: int
    now: float
    """Exponentially weighted, like the level."""
    usual: float | None
    """The mean outside episodes of concern; null before the first such session."""
    together: float | None = Field(ge=-1, le=1)
    """The correlation of the two ratings; null before six sessions, or if one of them never varies."""


class Engagement(_SummaryModel):
    """Attendance and responses as shares of 0 to 1: overall, and among the last four appointments."""

    attendance: Ratio | None
    attendance_lately: Ratio | None
    """Of the sessions that the client did not cancel in time, the share that was held."""
    response: Ratio | None
    response_lately: Ratio | None
    """Of the client's forms that were answered or lapsed, the share that was answered, even late."""


class Trust(_SummaryModel):
    """How far the client's ratings can be relied on."""

    information: Information
    why: str | None
    """What limits the information."""
    sureness: Ratio | None
    """How much of the band is real change from session to session; the rest is a lack of data."""


class Outcome(_SummaryModel):
    """How the client fares, by an outcome questionnaire: shown with the alliance, never part of it."""

    level: Score
    """The rolling score."""
    last: Score
    last_at: datetime
    ratings: int


class Summary(_SummaryModel):
    """An alliance in a few numbers."""

    standing: Standing
    since: datetime | None
    """When the standing began: the first sign of the open episode, else the end of the last, else the first answer."""
    lower_since: datetime | None
    """Since when the ratings have been lower than they were, after an episode that was not repaired."""
    level: Score | None
    low: Score | None
    high: Score | None
    trend: Trend | None
    difference: RatingDifference | None
    engagement: Engagement
    trust: Trust
    outcome: Outcome | None


def summarize(alliance: Alliance, policy: Policy) -> Summary:
    client = alliance.client
    expected = expect_rating(client, policy.prior.client) if client.ratings else None
    standing, since = _standing(alliance)
    return Summary(
        standing=standing,
        since=since,
        lower_since=_lower_since(alliance),
        level=client.rolling_score,
        low=expected.low if expected else None,
        high=expected.high if expected else None,
        trend=_trend(client, expected),
        difference=_difference(alliance),
        engagement=_engagement(alliance),
        trust=_trust(client, expected),
        outcome=_outcome(alliance.outcome),
    )


def _lower_since(alliance: Alliance) -> datetime | None:
    shifted = alliance.shifted_level
    return shifted.since if shifted and shifted.direction == "lower" else None


def _standing(alliance: Alliance) -> tuple[Standing, datetime | None]:
    ended = alliance.last_ended
    is_at_floor = bool(alliance.floor.lowest) and not alliance.floor.answers_above
    if alliance.open_episode is not None:
        severity = alliance.open_episode.severity
        is_lower = severity == "watch" and is_at_floor  # the last answer is of concern, whatever else is only watched
        return "concern" if is_lower else severity, alliance.open_episode.first_sign_at
    if alliance.ended_at is not None:
        return "ended", alliance.ended_at
    if not alliance.has_consent:
        return "unwatched", None
    if alliance.first_feedback_at is None:
        return "unknown", None
    if is_at_floor:
        return "concern", alliance.client.last_at  # never calm at the floor, whatever was decided about the alert
    if ended is not None and ended.reason == "expired" and ended.at >= (alliance.client.last_at or ended.at):
        return "unknown", ended.at
    ends = [
        alliance.first_feedback_at,
        alliance.last_repaired.closed_at if alliance.last_repaired else None,
        ended.at if ended else None,
    ]
    return "calm", max(end for end in ends if end is not None)


def _trend(client: Series, expected: Expectation | None) -> Trend | None:
    """The least-squares line through the last ratings; its band follows from the variation between sessions."""
    count = len(client.recent_ratings)
    if expected is None or count < MIN_TREND_RATINGS:
        return None
    mean_index = (count - 1) / 2
    index_squared_deviations = sum((index - mean_index) ** 2 for index in range(count))
    slope = (
        sum((index - mean_index) * rating for index, rating in enumerate(client.recent_ratings))
        / index_squared_deviations
    )
    margin = BAND_SPREADS * expected.sureness * expected.spread / sqrt(index_squared_deviations)
    low, high = slope - margin, slope + margin
    direction: Direction = "rising" if low > 0 else "falling" if high < 0 else "steady"
    return Trend(direction=direction, slope=slope, low=low, high=high, ratings=count)


def _difference(alliance: Alliance) -> RatingDifference | None:
    pairs = alliance.paired_ratings
    if not pairs.count:
        return None
    usual_difference = alliance.rater_gap.mean if alliance.rater_gap.count else None
    return RatingDifference(
        sessions=pairs.count, now=pairs.rolling_difference, usual=usual_difference, together=_correlation(pairs)
    )


def _correlation(pairs: PairedRatings) -> float | None:
    deviation_product = sqrt(pairs.client_squared_deviations * pairs.clinician_squared_deviations)
    if pairs.count < MIN_PAIRED_SESSIONS or deviation_product < 1e-6:  # rounding leaves a little even if nothing varies
        return None
    return min(1.0, max(-1.0, pairs.deviation_products / deviation_product))


def _engagement(alliance: Alliance) -> Engagement:
    counted_sessions = [
        session
        for session in alliance.recent_sessions
        if session.attendance in COUNTED_ATTENDANCES and not session.without_consent
    ]
    asked_sessions = [session for session in alliance.recent_sessions if session.is_client_feedback_known]
    return Engagement(
        attendance=_ratio(alliance.sessions_counted, alliance.sessions_counted + alliance.absences),
        attendance_lately=_ratio(
            sum(session.attendance == "held" for session in counted_sessions), len(counted_sessions)
        ),
        response=_ratio(
            alliance.feedback_received, alliance.feedback_received + alliance.feedback_lapsed - alliance.feedback_late
        ),
        response_lately=_ratio(sum("client" in session.answered_by for session in asked_sessions), len(asked_sessions)),
    )


def _ratio(part: int, whole: int) -> Ratio | None:
    return part / whole if whole else None


def _trust(client: Series, expected: Expectation | None) -> Trust:
    """Ratings that never vary, or that cannot be compared, carry little information; calm is no reassurance then."""
    if expected is None:
        return Trust(information="none", why="The client has not rated a session yet.", sureness=None)
    information, why = _information(client)
    return Trust(information=information, why=why, sureness=expected.sureness)


def _information(client: Series) -> tuple[Information, str | None]:
    if client.constant_streak >= MIN_CONSTANT_STREAK:
        at_top = ", always the highest there is" if client.last == 100 else ""
        return "little", f"The last {client.constant_streak + 1} ratings were all the same{at_top}."
    if client.ratings < MIN_TREND_RATINGS:
        return "some", "There are few ratings yet, so what is usual in this clinic still counts for much."
    if len(client.recent_ratings) == RECENT_RATINGS_LIMIT and min(client.recent_ratings) >= 99:
        return "some", "The ratings are at the top of the scale, where they can hardly show a change for the better."
    return "good", None


def _outcome(series: Series) -> Outcome | None:
    if series.rolling_score is None or series.last is None or series.last_at is None:
        return None
    return Outcome(level=series.rolling_score, last=series.last, last_at=series.last_at, ratings=series.ratings)
