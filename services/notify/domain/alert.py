"""An alert, an entry in a clinician's inbox about one episode, as a pure function of the events about that episode.

The rupture event with the highest version decides; lower versions change nothing. An open episode that the alliance
no longer names, at the same or a higher version, is no longer supported. A clinician's disposition counts for the
severity at which it was made: an alert that escalates afterwards is open again. The order and repetition of events
do not matter. Nothing here reads a clock.

An alert keeps why its episode ended. If the client ended the relationship, or was transferred while the alert was
urgent, it stays open until the clinician has read it. If the client withdrew consent, only that reason remains.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID, uuid5

from pydantic import computed_field

from services.notify.domain.episode import EpisodeState, StoredModel, episode_state
from services.notify.domain.relationship import Relationship
from shared.errors import Rejected
from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    Event,
    RuptureEvent,
    Severity,
    UtcDatetime,
)
from shared.events.alerts import disposition_id
from shared.events.model import SEVERITY_RANK

Status = Literal["open", "acknowledged", "resolved", "repaired", "retracted"]

STATUS_RANK: dict[Status, int] = {"open": 0, "acknowledged": 1, "resolved": 2, "repaired": 2, "retracted": 2}


def alert_id(episode_id: UUID) -> UUID:
    """The id of the one alert of an episode."""
    return uuid5(episode_id, "alert")


class SeverityStep(StoredModel):
    """The first version at which the episode had a severity, and the time of the sign that caused it."""

    version: int
    at: UtcDatetime
    recorded_at: UtcDatetime | None = None
    """When the sign was recorded; None if the sign was not feedback."""


class Disposition(StoredModel):
    """When the clinician acknowledged or resolved the alert, and its severity at that time."""

    at: UtcDatetime
    severity: Severity
    useful: bool | None = None


class Alert(StoredModel):
    """One episode in a clinician's inbox."""

    episode_id: UUID
    relationship_id: UUID
    clinician_id: UUID | None = None
    """None until the relationship is known; the alert waits for it."""
    episode: EpisodeState
    supported: bool = True
    """False when the alliance, at the version of `episode` or later, no longer names the episode."""
    steps: dict[Severity, SeverityStep]
    acknowledged: Disposition | None = None
    resolved: Disposition | None = None

    @property
    def id(self) -> UUID:
        return alert_id(self.episode_id)

    @property
    def severity(self) -> Severity:
        return self.episode.severity

    @property
    def is_withdrawn(self) -> bool:
        """Whether the client withdrew consent: then nobody sees it, whatever was done about it."""
        return self.episode.end_reason == "consent_withdrawn"

    @property
    def raised_at(self) -> datetime:
        """The time of the sign that raised it."""
        return self.escalations[0][1].at

    @property
    def escalations(self) -> list[tuple[Severity, SeverityStep]]:
        """The severities that it reached, each higher than the one before."""
        escalations: list[tuple[Severity, SeverityStep]] = []
        for severity, step in sorted(self.steps.items(), key=lambda item: item[1].version):
            if not escalations or SEVERITY_RANK[severity] > SEVERITY_RANK[escalations[-1][0]]:
                escalations.append((severity, step))
        return escalations

    @computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> Status:
        """The current status. A resolved alert stays resolved unless it escalates, also when its episode is closed."""
        if _covers(self.resolved, self.severity):
            return "resolved"
        is_read = _covers(self.acknowledged, self.severity)
        if self.episode.must_be_read and not is_read:
            return "open"
        if self.episode.status != "open":
            return self.episode.status
        if not self.supported:
            return "retracted"
        return "acknowledged" if is_read else "open"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def is_active(self) -> bool:
        """Whether events other than those of its own episode can still change it."""
        return self.clinician_id is None or self.status in ("open", "acknowledged")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def place(self) -> int:
        """Sort key of the inbox: open first, most severe first."""
        return 10 * STATUS_RANK[self.status] - SEVERITY_RANK[self.severity]


def fold_alerts(
    alerts: Mapping[UUID, Alert], events: Iterable[RuptureEvent], relationship: Relationship
) -> dict[UUID, Alert]:
    """The alerts of one relationship, by id, after the rupture events and with the relationship applied."""
    evolved = dict(alerts)
    for event in events:
        evolved[alert_id(event.episode_id)] = evolve(evolved.get(alert_id(event.episode_id)), event)
    return {key: apply_relationship(alert, relationship) for key, alert in evolved.items()}


def evolve(alert: Alert | None, event: RuptureEvent) -> Alert:
    """Apply an event about the episode, in any order and any number of times."""
    state = episode_state(event)
    step = SeverityStep(version=event.version, at=event.last_sign_at, recorded_at=event.recorded_at)
    if alert is None:
        return Alert(
            episode_id=event.episode_id,
            relationship_id=event.relationship_id,
            episode=state,
            steps={event.severity: step},
        )
    earliest = min(alert.steps.get(event.severity, step), step, key=lambda s: s.version)
    steps = {**alert.steps, event.severity: earliest}
    if state.version <= alert.episode.version:
        return alert.model_copy(update={"steps": steps})
    return alert.model_copy(update={"episode": state, "supported": True, "steps": steps})


def apply_relationship(alert: Alert, relationship: Relationship) -> Alert:
    """The alert with its clinician, and retracted if the alliance no longer names its episode."""
    is_unsupported = (
        alert.episode.status == "open"
        and relationship.alliance_version >= alert.episode.version
        and relationship.open_episode_id != alert.episode_id
    )
    return alert.model_copy(
        update={
            "clinician_id": relationship.clinician_id or alert.clinician_id,
            "supported": alert.supported and not is_unsupported,
        }
    )


def raised_events(alert: Alert) -> list[tuple[int, AlertRaised]]:
    """An event for each severity that the alert reached, with the version at which it did; none without a clinician."""
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
    """The clinician takes it on. An alert that is not open stays as it is."""
    if alert.status != "open" or alert.clinician_id is None:
        return alert, ()
    event = AlertAcknowledged(
        id=disposition_id(alert.id, "acknowledged", alert.severity),
        occurred_at=at,
        relationship_id=alert.relationship_id,
        alert_id=alert.id,
        episode_id=alert.episode_id,
        clinician_id=alert.clinician_id,
        severity=alert.severity,
    )
    disposition = Disposition(at=event.occurred_at, severity=alert.severity)
    return alert.model_copy(update={"acknowledged": disposition}), (event,)


def resolve(alert: Alert, useful: bool | None, at: datetime) -> tuple[Alert, Sequence[Event]]:
    """The clinician is done with it, even if it was repaired or retracted. Raises Rejected."""
    if alert.clinician_id is None:
        raise Rejected(
            "alert-without-relationship", f"the relationship of alert {alert.id} is not known yet; try again later"
        )
    if alert.resolved is not None and alert.status == "resolved":
        if alert.resolved.useful != useful:
            raise Rejected(
                "already-resolved",
                f"alert {alert.id} is already resolved, with another value of useful",
            )
        return alert, ()
    event = AlertResolved(
        id=disposition_id(alert.id, "resolved", alert.severity),
        occurred_at=at,
        relationship_id=alert.relationship_id,
        alert_id=alert.id,
        episode_id=alert.episode_id,
        clinician_id=alert.clinician_id,
        severity=alert.severity,
        useful=useful,
    )
    disposition = Disposition(at=event.occurred_at, severity=alert.severity, useful=useful)
    return alert.model_copy(update={"resolved": disposition}), (event,)


def _covers(disposition: Disposition | None, severity: Severity) -> bool:
    return disposition is not None and SEVERITY_RANK[disposition.severity] >= SEVERITY_RANK[severity]
