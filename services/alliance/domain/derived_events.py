"""The events derived from an alliance. Each carries the current state, so a consumer that missed one catches up."""

from collections.abc import Iterator
from uuid import UUID, uuid5

from services.alliance.domain.detection import episodes
from services.alliance.domain.fold import FoldResult
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import SortKey
from shared.events import (
    AllianceUpdated,
    Event,
    RuptureChanged,
    RuptureEnded,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)

OPEN_TYPES = (RuptureSuspected, RuptureChanged)
"""The events about an open episode."""


def derive_events(relationship: UUID, result: FoldResult, version: int, policy: Policy) -> Iterator[Event]:
    """The episodes first, then the alliance: a consumer that has both at one version knows the whole of that version.

    The process that folds the end of an episode publishes that end. If it crashes before it publishes, the events are
    delivered again; they cause a refold, which derives every repair and every other end in the history, and the last
    retraction. All have the current version, and so a new id if they were published with an earlier one. Consumers lose
    nothing by that: they identify an episode by `episode_id`, and the highest version of it says the same as the one
    before.
    """
    alliance = result.alliance
    if alliance.last_event_key is None:
        return
    yield from _derive_ends(relationship, result, version, policy)
    if alliance.open_episode is not None:
        event_type = RuptureChanged if alliance.open_episode.change_count else RuptureSuspected
        yield _rupture_event(
            event_type,
            alliance.open_episode,
            relationship,
            result,
            version,
            policy,
            occurred_at=alliance.open_episode.last_sign_at,
        )
    yield _alliance_updated(relationship, alliance, alliance.last_event_key, version, policy)


def _derive_ends(relationship: UUID, result: FoldResult, version: int, policy: Policy) -> Iterator[RuptureEvent]:
    if result.last_retraction is not None:
        retraction = result.last_retraction
        yield _rupture_event(
            RuptureRetracted,
            retraction.episode,
            relationship,
            result,
            version,
            policy,
            occurred_at=retraction.at,
            reason=retraction.reason,
            end_reason=retraction.end_reason,
        )
    for episode in result.repaired_episodes:
        yield _rupture_event(
            RuptureRepaired, episode, relationship, result, version, policy, occurred_at=episode.closed_at
        )
    for ended in result.ended_episodes:
        yield _rupture_event(
            RuptureEnded,
            ended.episode,
            relationship,
            result,
            version,
            policy,
            occurred_at=ended.at,
            reason=ended.reason,
            superseded_by=ended.superseded_by,
            shift=ended.shift,
        )


def _alliance_updated(
    relationship: UUID, alliance: Alliance, last_event_key: SortKey, version: int, policy: Policy
) -> AllianceUpdated:
    current = summarize(alliance, policy)
    return AllianceUpdated(
        id=_derive_id(relationship, "alliance", version),
        occurred_at=last_event_key[0],
        relationship_id=relationship,
        version=version,
        level=_round(current.level),
        low=_round(current.low),
        high=_round(current.high),
        elements={element: round(level, 1) for element, level in alliance.element_scores.items()},
        sessions=alliance.sessions,
        ratings=alliance.client.ratings,
        open_episode_id=alliance.open_episode.id if alliance.open_episode else None,
        policy=policy.digest,
        standing=current.standing,
        since=current.since,
        trend=current.trend.direction if current.trend else None,
        difference=_round(current.difference.now) if current.difference else None,
        attendance=_round(current.engagement.attendance, 3),
        response=_round(current.engagement.response, 3),
        information=current.trust.information,
        outcome=_round(current.outcome.level) if current.outcome else None,
        lower_since=current.lower_since,
    )


def _rupture_event(
    event_type: type[RuptureEvent],
    episode: Episode,
    relationship: UUID,
    result: FoldResult,
    version: int,
    policy: Policy,
    **fields: object,
) -> RuptureEvent:
    return event_type.model_validate(
        {
            "id": _derive_id(relationship, f"{event_type.event_type()}:{episode.id}", version),
            "relationship_id": relationship,
            "version": version,
            "episode_id": episode.id,
            "first_sign_at": episode.first_sign_at,
            "last_sign_at": episode.last_sign_at,
            "severity": episode.severity,
            "evidence": episode.evidence,
            "policy": policy.digest,
            "recorded_at": episode.recorded_at,
            "retrospective": result.is_retrospective(episode, is_open=event_type in OPEN_TYPES),
            **_stated_probability(episode, policy),
            **fields,
        }
    )


def _stated_probability(episode: Episode, policy: Policy) -> dict[str, float]:
    probability = episodes.stated_probability(episode)
    return {} if probability is None else {"probability": round(probability, 3), "base_rate": policy.base_rate}


def _derive_id(relationship: UUID, name: str, version: int) -> UUID:
    return uuid5(relationship, f"{name}:{version}")


def _round(number: float | None, digits: int = 1) -> float | None:
    return None if number is None else round(number, digits)
