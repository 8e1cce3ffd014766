"""What others are told of an alliance: everything that is so now, so that whoever missed something catches up."""

from collections.abc import Iterator
from uuid import UUID, uuid5

from services.alliance.domain.fold import Read
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.presentation.summary import summary
from services.alliance.domain.state.alliance import Alliance, Episode
from services.alliance.domain.state.history import Happened
from shared.events import (
    AllianceUpdated,
    Event,
    RuptureChanged,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)


def what_follows(relationship: UUID, read: Read, version: int, policy: Policy) -> Iterator[Event]:
    """The episodes first, then the alliance: who has heard both at one version knows all there is at that version.

    An episode that is over is told by whoever read its end. Should they die before they told, the facts they read
    are delivered again, and that reads the history again, with every end in it.
    """
    alliance = read.alliance
    if alliance.last is None:
        return
    if read.retracted is not None:
        retraction = read.retracted
        yield _about(
            RuptureRetracted,
            retraction.episode,
            relationship,
            version,
            policy,
            occurred_at=retraction.at,
            reason=retraction.reason,
        )
    for episode in read.repaired:
        yield _about(RuptureRepaired, episode, relationship, version, policy, occurred_at=episode.closed_at)
    if alliance.open is not None:
        event_type = RuptureChanged if alliance.open.changes else RuptureSuspected
        yield _about(event_type, alliance.open, relationship, version, policy, occurred_at=alliance.open.last_sign_at)
    yield _updated(relationship, alliance, alliance.last, version, policy)


def _updated(relationship: UUID, alliance: Alliance, last: Happened, version: int, policy: Policy) -> AllianceUpdated:
    current = summary(alliance, policy)
    return AllianceUpdated(
        id=_id(relationship, "alliance", version),
        occurred_at=last[0],
        relationship_id=relationship,
        version=version,
        level=_rounded(current.level),
        low=_rounded(current.low),
        high=_rounded(current.high),
        elements={element: round(level, 1) for element, level in alliance.levels.items()},
        sessions=alliance.sessions,
        ratings=alliance.client.ratings,
        open_episode_id=alliance.open.id if alliance.open else None,
        policy=policy.digest,
        standing=current.standing,
        since=current.since,
        trend=current.trend.direction if current.trend else None,
        difference=_rounded(current.difference.now) if current.difference else None,
        attendance=_rounded(current.engagement.attendance, 3),
        response=_rounded(current.engagement.response, 3),
        information=current.trust.information,
        outcome=_rounded(current.outcome.level) if current.outcome else None,
    )


def _about(
    kind: type[RuptureEvent], episode: Episode, relationship: UUID, version: int, policy: Policy, **more: object
) -> RuptureEvent:
    return kind.model_validate(
        {
            "id": _id(relationship, f"{kind.kind()}:{episode.id}", version),
            "relationship_id": relationship,
            "version": version,
            "episode_id": episode.id,
            "first_sign_at": episode.first_sign_at,
            "last_sign_at": episode.last_sign_at,
            "severity": episode.severity,
            "evidence": episode.evidence,
            "policy": policy.digest,
            "recorded_at": episode.recorded_at,
            **more,
        }
    )


def _id(relationship: UUID, what: str, version: int) -> UUID:
    return uuid5(relationship, f"{what}:{version}")


def _rounded(number: float | None, digits: int = 1) -> float | None:
    return None if number is None else round(number, digits)
