"""How signs become an episode, how it grows, and how it is repaired."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Literal

from services.alliance.domain.alliance import Alliance, Episode, Retraction
from services.alliance.domain.detectors import Witnessed
from services.alliance.domain.policy import Policy
from shared.events import Element, Evidence, Severity

_WEIGHT: dict[Severity, int] = {"watch": 0, "concern": 1, "urgent": 2}


def with_signs(alliance: Alliance, fact: Witnessed, signs: Sequence[Evidence], policy: Policy) -> Alliance:
    """Open an episode at its first sign, or add the signs to the one that is open."""
    episode = alliance.open
    if episode is None:
        opened = Episode(
            id=fact.follow("rupture"),
            first_sign_at=fact.occurred_at,
            last_sign_at=fact.occurred_at,
            severity=severity(signs, policy),
            evidence=tuple(signs),
        )
        return replace(alliance, open=opened)
    evidence = _strongest([*episode.evidence, *signs])
    changed = replace(
        episode,
        last_sign_at=fact.occurred_at,
        severity=max(episode.severity, severity(evidence, policy), key=_WEIGHT.__getitem__),
        evidence=evidence,
        changes=episode.changes + 1,
        calm=0,
    )
    return replace(alliance, open=changed)


def severity(evidence: Iterable[Evidence], policy: Policy) -> Severity:
    """How much the evidence matters together: two signs of concern of different kinds are urgent."""
    found = [(policy.steps[sign.detector].severity(sign.strength), sign.detector) for sign in evidence]
    if len({detector for step, detector in found if step != "watch"}) > 1:
        return "urgent"
    return max((step for step, _ in found), key=_WEIGHT.__getitem__)


def calmer(alliance: Alliance, at: datetime, policy: Policy) -> Alliance:
    """One more rating within the relationship's own range; enough of them repair the episode."""
    episode = alliance.open
    if episode is None:
        return alliance
    calm = replace(episode, calm=episode.calm + 1)
    if calm.calm < policy.repair_ratings:
        return replace(alliance, open=calm)
    return replace(
        alliance,
        open=None,
        closed=replace(calm, closed_at=at),
        withdrawal=0.0,
        client=replace(alliance.client, slide=0.0),
    )


def stayed_away_only(episode: Episode) -> bool:
    """Whether nothing but absence speaks for it, so that coming back is what repairs it."""
    return all(sign.detector == "withdrawal" for sign in episode.evidence)


def unsettled(alliance: Alliance) -> Alliance:
    """A rating that is no new sign, but not within the own range either."""
    return alliance if alliance.open is None else replace(alliance, open=replace(alliance.open, calm=0))


def retract(alliance: Alliance, at: datetime, reason: Literal["ended", "consent_withdrawn"]) -> Alliance:
    """Close the open episode: there is no relationship left to repair, or nobody may look any more."""
    if alliance.open is None:
        return alliance
    return replace(alliance, open=None, retracted=Retraction(alliance.open, at, reason))


def _strongest(signs: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """Of each detector and element the strongest sign, the later one where two are alike."""
    kept: dict[tuple[str, Element | None], Evidence] = {}
    for sign in signs:
        kind = (sign.detector, sign.element)
        if kind not in kept or sign.strength >= kept[kind].strength:
            kept[kind] = sign
    return tuple(kept.values())
