"""How signs become an episode, how it grows, and how it is repaired."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Literal

from services.alliance.domain.detection.detectors import ObservedEvent
from services.alliance.domain.policy.policy import Policy
from services.alliance.domain.state.alliance import Alliance, EndedEpisode, Episode, Retraction
from services.alliance.domain.state.fast_replace import replace
from shared.events import Element, Evidence, FeedbackSubmitted
from shared.events.intake import EndReason
from shared.events.model import SEVERITY_RANK


def add_signs(alliance: Alliance, event: ObservedEvent, signs: Sequence[Evidence], policy: Policy) -> Alliance:
    """Open an episode at its first sign, or add the signs to the one that is open."""
    episode = alliance.open_episode
    if episode is None:
        new_episode = Episode(
            id=event.derive_id("rupture"),
            first_sign_at=event.occurred_at,
            last_sign_at=event.occurred_at,
            severity=policy.severity(alliance.rupture_probability),
            evidence=strongest_signs(signs),
            recorded_at=_recorded_at(event),
        )
        return replace(alliance, open_episode=new_episode, signs=())
    updated = replace(
        episode,
        last_sign_at=event.occurred_at,
        severity=max(episode.severity, policy.severity(alliance.rupture_probability), key=SEVERITY_RANK.__getitem__),
        evidence=strongest_signs([*episode.evidence, *signs]),
        change_count=episode.change_count + 1,
        calm_ratings=0,
        recorded_at=_recorded_at(event),
    )
    return replace(alliance, open_episode=updated, signs=())


def record_calm_rating(alliance: Alliance, episode: Episode, at: datetime, policy: Policy) -> Alliance:
    """One more rating within the relationship's own range; enough of them repair the open `episode`."""
    updated = replace(episode, calm_ratings=episode.calm_ratings + 1)
    if updated.calm_ratings < policy.repair_ratings:
        return replace(alliance, open_episode=updated)
    return replace(
        alliance,
        open_episode=None,
        last_repaired=replace(updated, closed_at=at),
        withdrawal=0.0,
        rupture_probability=0.0 if is_of_concern(episode) else alliance.rupture_probability,
        signs=(),
        client=replace(alliance.client, below_expected_streak=0),
    )


def is_of_concern(episode: Episode | None) -> bool:
    """Whether the episode is more than something to watch; only then is the baseline frozen until the repair."""
    return episode is not None and episode.severity != "watch"


def is_withdrawal_only(episode: Episode) -> bool:
    """Whether absence is the only evidence, so that attending again repairs the episode."""
    return all(sign.detector == "withdrawal" for sign in episode.evidence)


def reset_calm_ratings(alliance: Alliance, episode: Episode) -> Alliance:
    """Apply a rating that is no new sign, but not within the relationship's own range either."""
    return replace(alliance, open_episode=replace(episode, calm_ratings=0))


def retract_open_episode(
    alliance: Alliance,
    at: datetime,
    reason: Literal["ended", "consent_withdrawn"],
    end_reason: EndReason | None = None,
) -> Alliance:
    """Close the open episode, because the relationship ended or the client withdrew consent. Suspicion starts anew."""
    reset = replace(alliance, withdrawal=0.0, rupture_probability=0.0, signs=())
    if alliance.open_episode is None:
        return reset
    return replace(reset, open_episode=None, last_retraction=Retraction(alliance.open_episode, at, reason, end_reason))


def end_open_episode(alliance: Alliance, ended: EndedEpisode) -> Alliance:
    """End the open episode, which was neither repaired nor retracted."""
    return replace(alliance, open_episode=None, last_ended=ended)


def _recorded_at(event: ObservedEvent) -> datetime | None:
    return event.recorded_at if isinstance(event, FeedbackSubmitted) else None


def strongest_signs(signs: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The strongest sign of each detector, element and reporter; of two equal ones the later."""
    strongest_by_key: dict[tuple[str, Element | None, float | None], Evidence] = {}
    for sign in signs:
        key = (sign.detector, sign.element, sign.numbers.get("by_client"))
        if key not in strongest_by_key or sign.strength >= strongest_by_key[key].strength:
            strongest_by_key[key] = sign
    return tuple(strongest_by_key.values())
