"""An episode at one version, as alliance published it, and why it ended.

If its alert was resolved, the clinician's disposition decides the alert, and the end of the episode changes nothing
about it.
"""

import json
from hashlib import sha256
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict

from shared.events import (
    EpisodeEndReason,
    Evidence,
    LevelShift,
    RuptureEnded,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    Severity,
    UtcDatetime,
)
from shared.events.alliance import Ratio
from shared.events.intake import EndReason
from shared.events.model import SEVERITY_RANK
from shared.runtime.model import Model

EpisodeEnd = Literal["corrected", "ended_by_client", "ended_as_planned", "transferred", "ended", "consent_withdrawn"]
"""Why an episode was retracted; `ended` if a relationship ended for another reason, or for one that is not known."""


class StoredModel(Model):
    """An alert or a part of one, immutable."""

    model_config = ConfigDict(frozen=True)


class EpisodeState(StoredModel):
    """The episode at one version, as alliance published it."""

    version: int
    status: Literal["open", "repaired", "retracted"]
    severity: Severity
    first_sign_at: UtcDatetime
    last_sign_at: UtcDatetime
    evidence: tuple[Evidence, ...]
    end_reason: EpisodeEnd | None = None
    """Why it was retracted; None if it was not, or if an older version stored it."""
    ended: EpisodeEndReason | None = None
    """Why it ended without a repair or a retraction. Its status is `retracted` then, as older versions read it."""
    superseded_by: UUID | None = None
    """The episode that took its place."""
    shift: LevelShift | None = None
    """Whether the ratings are lower or higher since, after a level shift."""
    ended_at: UtcDatetime | None = None
    """When it was repaired or retracted, or ended; None if it was not, or if an older version stored it."""
    probability: Ratio | None = None
    base_rate: Ratio | None = None
    """As the event has them; None if an older version stored it."""

    @property
    def evidence_version(self) -> str:
        """Identifies the evidence and why it ended: the same text for the same content, whatever the version."""
        content = self.model_dump(mode="json", include={"evidence", "end_reason"})
        if self.ended not in (None, "resolved"):
            content |= self.model_dump(mode="json", include={"ended", "superseded_by", "shift"})
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def must_be_read(self) -> bool:
        """Whether it ended in a way that the clinician must know about."""
        return self.end_reason == "ended_by_client" or (self.end_reason == "transferred" and self.severity == "urgent")

    def after_withdrawal(self) -> "EpisodeState":
        """What remains after the client withdrew consent: that this was the reason, and no evidence."""
        nothing = {"evidence": (), "probability": None, "base_rate": None}
        no_end = {"ended": None, "superseded_by": None, "shift": None}
        return self.model_copy(update={"status": "retracted", "end_reason": "consent_withdrawn", **nothing, **no_end})

    def supersedes(self, other: "EpisodeState") -> bool:
        """Whether this one counts: the higher version, or by the rule for several contents of one version."""
        if self.version != other.version:
            return self.version > other.version
        return self._content_rank() > other._content_rank()

    def _content_rank(self) -> tuple[Any, ...]:
        """What withdrawn consent leaves comes first, so that it does not matter whether that is known already."""
        remaining = (SEVERITY_RANK[self.severity], self.last_sign_at, self.first_sign_at)
        return (*remaining, self.status == "open", self.model_dump_json())


def episode_state(event: RuptureEvent) -> EpisodeState:
    """The episode as `event` describes it. If the client withdrew consent, without the evidence."""
    end_reason, ended = _end_reason(event), event if isinstance(event, RuptureEnded) else None
    state = EpisodeState(
        version=event.version,
        status=_episode_status(event),
        severity=event.severity,
        first_sign_at=event.first_sign_at,
        last_sign_at=event.last_sign_at,
        evidence=event.evidence,
        end_reason=end_reason,
        ended_at=event.occurred_at if isinstance(event, RuptureRepaired | RuptureRetracted | RuptureEnded) else None,
        ended=ended and ended.reason,
        superseded_by=ended and ended.superseded_by,
        shift=ended and ended.shift,
        probability=event.probability,
        base_rate=event.base_rate,
    )
    return state.after_withdrawal() if end_reason == "consent_withdrawn" else state


def _episode_status(event: RuptureEvent) -> Literal["open", "repaired", "retracted"]:
    match event:
        case RuptureRepaired():
            return "repaired"
        case RuptureRetracted() | RuptureEnded():
            return "retracted"
        case _:
            return "open"


def _end_reason(event: RuptureEvent) -> EpisodeEnd | None:
    match event:
        case RuptureRetracted(reason="amended"):
            return "corrected"
        case RuptureRetracted(reason="consent_withdrawn"):
            return "consent_withdrawn"
        case RuptureRetracted(reason="ended"):
            return _RELATIONSHIP_ENDS.get(event.end_reason, "ended")
        case _:
            return None


_RELATIONSHIP_ENDS: dict[EndReason | None, EpisodeEnd] = {
    "stopped_by_client": "ended_by_client",
    "completed": "ended_as_planned",
    "transferred": "transferred",
}
