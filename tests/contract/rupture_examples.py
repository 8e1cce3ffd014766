"""Examples of events about ruptures and alerts, each with all fields and with the required fields only."""

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID, uuid5

from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertReopened,
    AlertResolved,
    DispositionKind,
    EpisodeEndReason,
    Event,
    Evidence,
    RuptureChanged,
    RuptureEnded,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
)

RELATIONSHIP, CLINICIAN, SESSION, EPISODE, ALERT = (UUID(int=number) for number in range(11, 16))


def _id(name: str) -> UUID:
    return uuid5(RELATIONSHIP, name)


def _at(day: int, hour: int = 10, milliseconds: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, 0, 0, milliseconds * 1000, tzinfo=UTC)


_MINIMAL_SIGN = Evidence(detector="withdrawal", strength=1, occurred_at=_at(20))
_FULL_SIGN = Evidence(
    detector="element_drop",
    strength=2.25,
    session_id=SESSION,
    occurred_at=_at(13, 12, 7),
    element="trust",
    numbers={"rating": 35.5, "expected": 88, "fall": -52.5},
)

_OPEN_EPISODE: Any = {
    "occurred_at": _at(20),
    "relationship_id": RELATIONSHIP,
    "version": 13,
    "episode_id": EPISODE,
    "first_sign_at": _at(13),
    "last_sign_at": _at(20),
    "evidence": (_FULL_SIGN, _MINIMAL_SIGN),
    "policy": "3f2a",
}
_PROBABILITY: Any = {"probability": 0.34, "base_rate": 0.15}
_OVER: Any = _OPEN_EPISODE | {
    "occurred_at": _at(21),
    "version": 14,
    "last_sign_at": _at(13),
    "evidence": (_MINIMAL_SIGN,),
    "severity": "concern",
}
_ALERT: Any = {
    "relationship_id": RELATIONSHIP,
    "alert_id": ALERT,
    "episode_id": EPISODE,
    "clinician_id": CLINICIAN,
}

RUPTURE_EXAMPLES: tuple[Event, ...] = (
    *(
        event_type(id=_id(event_type.event_type()), severity=severity, **_OPEN_EPISODE, **_PROBABILITY)
        for event_type, severity in (
            (RuptureSuspected, "watch"),
            (RuptureChanged, "urgent"),
            (RuptureRepaired, "concern"),
        )
    ),
    RuptureSuspected(id=_id("retrospective"), severity="concern", retrospective=True, **_OPEN_EPISODE),
    *(
        RuptureRetracted(
            id=_id(f"retracted: {reason}"),
            reason=reason,
            end_reason="stopped_by_client" if reason == "ended" else None,
            **_OVER,
        )
        for reason in ("amended", "ended", "consent_withdrawn")
    ),
    *(
        RuptureEnded(
            id=_id(f"ended: {reason}"),
            reason=reason,
            superseded_by=_id("next episode") if reason == "superseded" else None,
            shift="lower" if reason == "level_shift" else None,
            **_OVER,
        )
        for reason in get_args(EpisodeEndReason)
    ),
    AlertRaised(id=_id("raised"), occurred_at=_at(20), severity="urgent", **_ALERT),
    AlertAcknowledged(id=_id("acknowledged"), occurred_at=_at(21), **_ALERT),
    *(
        AlertResolved(id=_id(f"resolved: {useful}"), occurred_at=_at(22), useful=useful, **_ALERT)
        for useful in (True, False, None)
    ),
    *(
        AlertResolved(id=_id(f"resolved: {disposition}"), occurred_at=_at(22), disposition=disposition, **_ALERT)
        for disposition in get_args(DispositionKind)
    ),
    AlertReopened(
        id=_id("reopened"),
        occurred_at=_at(23),
        severity="urgent",
        disposition_id=_id("resolved: True"),
        **_ALERT,
    ),
)
