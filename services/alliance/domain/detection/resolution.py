"""How the resolution of an alert ends its episode, and how the client's next low answer opens another one.

What was said before the resolution opens nothing by itself. What is said after it counts in full: a clinician cannot
mute a client.
"""

from services.alliance.domain.detection import episodes, probability
from services.alliance.domain.detection.detectors import (
    ObservedEvent,
    element_drop,
    low_level,
    sudden_drop,
    sustained_slide,
)
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, EndedEpisode
from services.alliance.domain.state.fast_replace import replace
from shared.events import AlertResolved, Evidence
from shared.events.model import SEVERITY_RANK

LOW_AGAIN = "low_again"
"""The detector in the evidence: the client's rating is no higher than when the resolved episode opened."""
RATING_DETECTORS = frozenset(
    {LOW_AGAIN, *(detector.__name__ for detector in (sudden_drop, sustained_slide, low_level, element_drop))}
)
"""The detectors that find a client's rating low. A usual rating with a reported tension is no level to watch."""
ROUNDING_ERROR_POINTS = 1e-9


def resolve_episode(alliance: Alliance, event: AlertResolved) -> Alliance:
    """End the open episode, if the resolved alert is about it. The baseline stays as it is, and adapts again."""
    episode = alliance.open_episode
    if episode is None or episode.id != event.episode_id:
        return alliance
    return replace(
        episodes.end_open_episode(alliance, EndedEpisode(episode, event.occurred_at, "resolved")),
        signs=(),
        withdrawal=0.0,
        # Not 0: then no later answer about a session that has begun already could raise it again.
        rupture_probability=probability.decay(0.0),
        client=replace(alliance.client, below_expected_streak=0),
        resolved_level=alliance.resolved_level if episode.opening_rating is None else episode.opening_rating,
    )


def follow_level(before: Alliance, after: Alliance, event: ObservedEvent, policy: Policy) -> Alliance:
    """The alliance after `event`: a client's answer that is as low as the resolved episode was opens a new one.

    The rating at which an episode opens is recorded in it.
    """
    if after is before or (after.open_episode is None and after.resolved_level is None):
        return after
    rating = after.client.last if after.client.ratings > before.client.ratings else None
    level = after.resolved_level
    if rating is not None and level is not None and rating <= level + ROUNDING_ERROR_POINTS:
        after = _open_again(after, event, rating, level, policy)
    return _record_opening_rating(after)


def _open_again(alliance: Alliance, event: ObservedEvent, rating: float, level: float, policy: Policy) -> Alliance:
    """An episode at least of concern, whatever the probability; the open one if there is one."""
    if alliance.ended_at is not None:
        return alliance
    session = alliance.find_session(event.session_id)
    numbers = {"rating": rating, "level": level, **({"session": session.number} if session and session.number else {})}
    sign = Evidence(
        detector=LOW_AGAIN,
        strength=1.0,
        session_id=event.session_id,
        occurred_at=event.occurred_at,
        numbers={name: round(number, 1) for name, number in numbers.items()},
    )
    if alliance.open_episode is None or alliance.open_episode.last_sign_at != event.occurred_at:
        alliance = episodes.add_signs(alliance, event, [*alliance.signs, sign], policy)
    episode = alliance.open_episode
    assert episode is not None  # noqa: S101 - the signs have opened it
    with_sign = replace(
        episode,
        evidence=episodes.strongest_signs([*episode.evidence, sign]),
        severity=max(episode.severity, "concern", key=SEVERITY_RANK.__getitem__),
    )
    return replace(alliance, open_episode=with_sign, resolved_level=None)


def _record_opening_rating(alliance: Alliance) -> Alliance:
    """Record the client's rating that opened the open episode, or the first in it, once it is known."""
    episode = alliance.open_episode
    if episode is None or episode.opening_rating is not None:
        return alliance
    low_ratings = [sign for sign in episode.evidence if sign.detector in RATING_DETECTORS and sign.session_id]
    latest = max(low_ratings, key=lambda sign: sign.occurred_at, default=None)
    session = alliance.find_session(latest.session_id) if latest and latest.session_id else None
    if session is None or session.client_rating is None:
        return alliance
    return replace(alliance, open_episode=replace(episode, opening_rating=session.client_rating))
