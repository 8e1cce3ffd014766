"""An alert: what stands in a clinician's inbox about one episode, and how it follows from what was told.

What alliance says of an episode at the highest version is so; lower versions change nothing. An open episode that
the alliance no longer names at the same or a higher version has nothing to rest on any more. What the clinician
did counts for the severity at which it was done: what rises afterwards is open again. Told twice, late or in
another order: the alert comes out the same. Nothing here reads a clock.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict, computed_field

from services.notify.domain.relationship import Relationship
from shared.errors import Rejected
from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    Event,
    Evidence,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    Severity,
    UtcDatetime,
)

Status = Literal["open", "acknowledged", "resolved", "repaired", "retracted"]

SEVERITY_RANK: dict[Severity, int] = {"watch": 0, "concern": 1, "urgent": 2}
STATUS_RANK: dict[Status, int] = {"open": 0, "acknowledged": 1, "resolved": 2, "repaired": 2, "retracted": 2}


def alert_id(episode_id: UUID) -> UUID:
    """One alert for each episode, however often it is told."""
    return uuid5(episode_id, "alert")


class StoredModel(BaseModel):
    """A part of an alert, or the whole; never changed, only replaced."""

    model_config = ConfigDict(frozen=True)


class EpisodeState(StoredModel):
    """What alliance said of the episode at one version."""

    version: int
    episode: Literal["open", "repaired", "retracted"]
    severity: Severity
    first_sign_at: UtcDatetime
    last_sign_at: UtcDatetime
    evidence: tuple[Evidence, ...]


class SeverityStep(StoredModel):
    """The first version at which a severity was said, and the sign that reached it."""

    version: int
    at: UtcDatetime
    recorded_at: UtcDatetime | None = None
    """When the sign was recorded, where it was an answer."""


class Disposition(StoredModel):
    """What the clinician did, and how severe it was then."""

    at: UtcDatetime
    severity: Severity
    useful: bool | None = None


class Alert(StoredModel):
    """One episode in the inbox."""

    episode_id: UUID
    relationship_id: UUID
    clinician_id: UUID | None = None
    """None until the relationship is known; the alert waits for it."""
    said: EpisodeState
    supported: bool = True
    """False when the alliance, at what was said last or later, no longer names the episode."""
    steps: dict[Severity, SeverityStep]
    acknowledged: Disposition | None = None
    resolved: Disposition | None = None

    @property
    def id(self) -> UUID:
        return alert_id(self.episode_id)

    @property
    def severity(self) -> Severity:
        return self.said.severity

    @property
    def raised_at(self) -> datetime:
        """When the sign came that raised it."""
        return self.escalations[0][1].at

    @property
    def escalations(self) -> list[tuple[Severity, SeverityStep]]:
        """The severities it reached, each above the one before."""
        escalations: list[tuple[Severity, SeverityStep]] = []
        for severity, step in sorted(self.steps.items(), key=lambda item: item[1].version):
            if not escalations or SEVERITY_RANK[severity] > SEVERITY_RANK[escalations[-1][0]]:
                escalations.append((severity, step))
        return escalations

    @computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> Status:
        """How it stands. What the clinician resolved stays so; what alliance closed cannot be acknowledged."""
        if _covers(self.resolved, self.severity):
            return "resolved"
        if self.said.episode != "open":
            return self.said.episode
        if not self.supported:
            return "retracted"
        return "acknowledged" if _covers(self.acknowledged, self.severity) else "open"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def unsettled(self) -> bool:
        """Whether something other than word of its own episode may still change it."""
        return self.clinician_id is None or self.status in ("open", "acknowledged")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def place(self) -> int:
        """Where it stands in the inbox: open first, most severe first."""
        return 10 * STATUS_RANK[self.status] - SEVERITY_RANK[self.severity]


def fold_alerts(
    alerts: Mapping[UUID, Alert], events: Iterable[RuptureEvent], relationship: Relationship
) -> dict[UUID, Alert]:
    """The alerts of one relationship, by id, with what was told of its episodes and what is known of it."""
    evolved = dict(alerts)
    for event in events:
        evolved[alert_id(event.episode_id)] = evolve(evolved.get(alert_id(event.episode_id)), event)
    return {key: apply_relationship(alert, relationship) for key, alert in evolved.items()}


def evolve(alert: Alert | None, event: RuptureEvent) -> Alert:
    """Take in what alliance said of the episode, new or not."""
    state = EpisodeState(
        version=event.version,
        episode=_episode_status(event),
        severity=event.severity,
        first_sign_at=event.first_sign_at,
        last_sign_at=event.last_sign_at,
        evidence=event.evidence,
    )
    step = SeverityStep(version=event.version, at=event.last_sign_at, recorded_at=event.recorded_at)
    if alert is None:
        return Alert(
            episode_id=event.episode_id,
            relationship_id=event.relationship_id,
            said=state,
            steps={event.severity: step},
        )
    earliest = min(alert.steps.get(event.severity, step), step, key=lambda s: s.version)
    steps = {**alert.steps, event.severity: earliest}
    if state.version <= alert.said.version:
        return alert.model_copy(update={"steps": steps})
    return alert.model_copy(update={"said": state, "supported": True, "steps": steps})


def apply_relationship(alert: Alert, relationship: Relationship) -> Alert:
    """The alert with what is known of its relationship."""
    is_unsupported = (
        alert.said.episode == "open"
        and relationship.alliance_version >= alert.said.version
        and relationship.open_episode_id != alert.episode_id
    )
    return alert.model_copy(
        update={
            "clinician_id": relationship.clinician_id or alert.clinician_id,
            "supported": alert.supported and not is_unsupported,
        }
    )


def raised_events(alert: Alert) -> list[tuple[int, AlertRaised]]:
    """That it stands in an inbox, once for each severity it rose to, with the version that said so."""
    if alert.clinician_id is None:
        return []
    return [
        (
            step.version,
            AlertRaised(
                id=uuid5(alert.id, f"raised:{severity}"),
                occurred_at=step.at,
                relationship_id=alert.relationship_id,
                alert_id=alert.id,
                episode_id=alert.episode_id,
                clinician_id=alert.clinician_id,
                severity=severity,
            ),
        )
        for severity, step in alert.escalations
    ]


def acknowledge(alert: Alert, at: datetime) -> tuple[Alert, Sequence[Event]]:
    """The clinician takes it on. Where it is not open any more there is nothing to take on, and nothing changes."""
    if alert.status != "open" or alert.clinician_id is None:
        return alert, ()
    event = AlertAcknowledged(
        id=uuid5(alert.id, f"acknowledged:{alert.severity}"),
        occurred_at=at,
        relationship_id=alert.relationship_id,
        alert_id=alert.id,
        episode_id=alert.episode_id,
        clinician_id=alert.clinician_id,
    )
    disposition = Disposition(at=event.occurred_at, severity=alert.severity)
    return alert.model_copy(update={"acknowledged": disposition}), (event,)


def resolve(alert: Alert, useful: bool | None, at: datetime) -> tuple[Alert, Sequence[Event]]:
    """The clinician is done with it, also when it was repaired or retracted. Raises Refused."""
    if alert.clinician_id is None:
        raise Rejected(
            "alert-without-relationship", f"the relationship of alert {alert.id} is not known yet; try later"
        )
    if alert.resolved is not None and alert.status == "resolved":
        if alert.resolved.useful != useful:
            raise Rejected(
                "already-resolved",
                f"alert {alert.id} was resolved before with useful={_to_json(alert.resolved.useful)}",
            )
        return alert, ()
    event = AlertResolved(
        id=uuid5(alert.id, f"resolved:{alert.severity}"),
        occurred_at=at,
        relationship_id=alert.relationship_id,
        alert_id=alert.id,
        episode_id=alert.episode_id,
        clinician_id=alert.clinician_id,
        useful=useful,
    )
    disposition = Disposition(at=event.occurred_at, severity=alert.severity, useful=useful)
    return alert.model_copy(update={"resolved": disposition}), (event,)


def _episode_status(event: RuptureEvent) -> Literal["open", "repaired", "retracted"]:
    match event:
        case RuptureRepaired():
            return "repaired"
        case RuptureRetracted():
            return "retracted"
        case _:
            return "open"


def _covers(disposition: Disposition | None, severity: Severity) -> bool:
    return disposition is not None and SEVERITY_RANK[disposition.severity] >= SEVERITY_RANK[severity]


def _to_json(useful: bool | None) -> str:
    return {True: "true", False: "false", None: "null"}[useful]
