"""How signs become an episode, how it grows, and how it is repaired."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from services.alliance.domain.detection.detectors import Witnessed
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, Episode, Retraction
from services.alliance.domain.state.fast_replace import replace
from shared.events import Element, Evidence, FeedbackSubmitted, Severity

_WEIGHT: dict[Severity, int] = {"watch": 0, "concern": 1, "urgent": 2}


def with_signs(alliance: Alliance, event: Witnessed, signs: Sequence[Evidence], policy: Policy) -> Alliance:
    """Open an episode at its first sign, or add the signs to the one that is open."""
    episode = alliance.open
    if episode is None:
        new_episode = Episode(
            id=event.follow("rupture"),
            first_sign_at=event.occurred_at,
            last_sign_at=event.occurred_at,
            severity=policy.severity(alliance.belief),
            evidence=strongest(signs),
            recorded_at=_recorded(event),
        )
        return replace(alliance, open=new_episode)
    updated = replace(
        episode,
        last_sign_at=event.occurred_at,
        severity=max(episode.severity, policy.severity(alliance.belief), key=_WEIGHT.__getitem__),
        evidence=strongest([*episode.evidence, *signs]),
        changes=episode.changes + 1,
        calm=0,
        recorded_at=_recorded(event),
    )
    return replace(alliance, open=updated)


def calmer(alliance: Alliance, at: datetime, policy: Policy) -> Alliance:
    """One more rating within the relationship's own range; enough of them repair the episode."""
    episode = alliance.open
    if episode is None:
        return alliance
    updated = replace(episode, calm=episode.calm + 1)
    if updated.calm < policy.repair_ratings:
        return replace(alliance, open=updated)
    repaired = replace(
        alliance,
        open=None,
        closed=replace(updated, closed_at=at),
        withdrawal=0.0,
        signs=(),
        client=replace(alliance.client, falling=0),
    )
    return replace(repaired, belief=0.0) if of_concern(episode) else repaired


def of_concern(episode: Episode | None) -> bool:
    """Whether it is more than something to watch: only then the baseline waits until it is repaired."""
    return episode is not None and episode.severity != "watch"


def stayed_away_only(episode: Episode) -> bool:
    """Whether nothing but absence speaks for it, so that coming back is what repairs it."""
    return all(sign.detector == "withdrawal" for sign in episode.evidence)


def unsettled(alliance: Alliance) -> Alliance:
    """A rating that is no new sign, but not within the own range either."""
    return alliance if alliance.open is None else replace(alliance, open=replace(alliance.open, calm=0))


def retract(alliance: Alliance, at: datetime, reason: Literal["ended", "consent_withdrawn"]) -> Alliance:
    """Close the open episode: there is no relationship left to repair, or nobody may look any more."""
    reset = replace(alliance, belief=0.0, signs=())
    if alliance.open is None:
        return reset
    return replace(reset, open=None, retracted=Retraction(alliance.open, at, reason))


def _recorded(event: Witnessed) -> datetime | None:
    return event.recorded_at if isinstance(event, FeedbackSubmitted) else None


def strongest(signs: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Of each detector, element and teller the strongest sign, the later one where two are alike."""
    strongest_by_key: dict[tuple[str, Element | None, float | None], Evidence] = {}
    for sign in signs:
        key = (sign.detector, sign.element, sign.numbers.get("by_client"))
        if key not in strongest_by_key or sign.strength >= strongest_by_key[key].strength:
            strongest_by_key[key] = sign
    return tuple(strongest_by_key.values())
