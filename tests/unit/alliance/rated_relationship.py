"""A relationship with consent, its rated sessions, and what is detected in them."""

from collections.abc import Iterable

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import HistoryEvent
from tests.support.builders import RelationshipBuilder

BUILDER = RelationshipBuilder()
START_EVENTS: tuple[HistoryEvent, ...] = (BUILDER.started(), BUILDER.consent_changed(-0.5, given=True))


def rated_sessions(*ratings: float, first: int = 0) -> list[HistoryEvent]:
    """One held and rated session a week."""
    return [
        event
        for week, rating in enumerate(ratings, start=first)
        for event in (BUILDER.completed(week), BUILDER.feedback(week, rating))
    ]


def fold_events(events: Iterable[HistoryEvent]) -> Alliance:
    return fold([*START_EVENTS, *events], DEFAULT_POLICY)


def detected_signs(events: Iterable[HistoryEvent]) -> set[str]:
    episode = fold_events(events).open_episode
    return {sign.detector for sign in episode.evidence} if episode else set()


def open_episode(events: Iterable[HistoryEvent]) -> Episode:
    episode = fold_events(events).open_episode
    assert episode is not None
    return episode
