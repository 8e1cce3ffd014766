"""An alert, an entry in a clinician's inbox about one episode, as a pure function of the events about that episode.

The rupture event with the highest version decides; lower versions change nothing. If one version comes with several
contents, the most severe counts, then the one with the latest sign, then an open one. An open episode that the
alliance no longer names, at the same or a higher version, is no longer supported. A clinician's disposition counts for
the severity at which it was made, until it is taken back: an alert that escalates afterwards is open again. The order
and repetition of events do not matter. Nothing here reads a clock.

If the episode has ended because the alert was resolved, only dispositions decide: signs that the clinician had not seen
keep the alert open. An alert keeps why its episode ended. If the client ended the relationship, or was transferred
while the alert was urgent, it stays open until the clinician has read it. If the client withdrew consent, nobody sees
it any more: of what began before, only that reason remains, whatever had become of it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid5

from pydantic import ConfigDict, Field, computed_field, field_serializer, model_validator

from services.notify.domain.disposition import (
    Disposition,
    find_counting,
    read_stored_dispositions,
    sort_dispositions,
)
from services.notify.domain.episode import EpisodeEnd, EpisodeState, StoredModel, episode_state
from services.notify.domain.relationship import Relationship
from services.notify.domain.severity_step import SeverityStep
from shared.access.clinic_id import ClinicId
from shared.events import AlertRaised, RuptureEvent, Severity
from shared.events.model import SEVERITY_RANK
from shared.runtime.model import Model

Status = Literal["open", "acknowledged", "resolved", "repaired", "retracted", "ended"]

AlertEnd = EpisodeEnd | Literal["level_shift", "superseded", "expired"]
"""Why the episode of an alert has ended, if it was not repaired and the clinician did not resolve the alert."""

STATUS_RANK: dict[Status, int] = {
    "open": 0,
    "acknowledged": 1,
    "resolved": 2,
    "repaired": 2,
    "retracted": 2,
    "ended": 2,
}

MAX_RAISE_DELAY = timedelta(days=10)
"""From the first sign until the alert: the sign of the session a week before may arrive late; an older one was found
later."""


def alert_id(episode_id: UUID) -> UUID:
    """The id of the one alert of an episode."""
    return uuid5(episode_id, "alert")


class Shown(Model):
    """What a clinician sees of an alert; a disposition counts only for an alert that is still as it was shown."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    severity: Severity
    status: Status
    evidence_version: str = Field(pattern=r"^[0-9a-f]{16}$")
    """Identifies the evidence and why the episode ended; it stays the same while these do."""


class Alert(StoredModel):
    """One episode in a clinician's inbox."""

    episode_id: UUID
    relationship_id: UUID
    clinic_id: ClinicId | None = None
    """That of the relationship; None in documents of older versions until it is filled in."""
    clinician_id: UUID | None = None
    """None until the relationship is known; the alert waits for it."""
    episode: EpisodeState
    supported: bool = True
    """False when the alliance, at the version of `episode` or later, no longer names the episode."""
    steps: dict[Severity, SeverityStep]
    consent_withdrawn: bool = False
    """Whether the signs began after the client had withdrawn consent, and consent was not given again."""
    dispositions: tuple[Disposition, ...] = ()
    """Everything that the clinician decided, in the order of time, also what was taken back."""

    @model_validator(mode="before")
    @classmethod
    def _read_older_document(cls, data: Any) -> Any:
        try:
            return {**data, "dispositions": read_stored_dispositions(data, alert_id(data["episode_id"]))}
        except (KeyError, TypeError, AttributeError):
            raise ValueError("the dispositions cannot be read") from None

    @field_serializer("acknowledged", "resolved")
    def _dump_for_older_versions(self, disposition: Disposition | None) -> dict[str, Any] | None:
        """Older versions read and write one disposition of each kind, with these fields."""
        return None if disposition is None else disposition.model_dump(include={"at", "severity", "useful"})

    @property
    def id(self) -> UUID:
        return alert_id(self.episode_id)

    @property
    def severity(self) -> Severity:
        return self.episode.severity

    @property
    def end_reason(self) -> AlertEnd | None:
        """Why the episode has ended; None if it was repaired, or by a resolution of the alert."""
        ended = self.episode.ended
        return self.episode.end_reason if ended is None or ended == "resolved" else ended

    @property
    def is_withdrawn(self) -> bool:
        """Whether the client withdrew consent: then nobody sees it, whatever was done about it."""
        return self.consent_withdrawn or self.episode.end_reason == "consent_withdrawn"

    @property
    def raised_at(self) -> datetime:
        """The time of the sign that raised it."""
        return self.escalations[0][1].at

    @property
    def began_before(self) -> bool:
        """Whether it was raised in retrospect, or late events found that its episode had begun long before."""
        return self.escalations[0][1].retrospective or self.raised_at - self.episode.first_sign_at > MAX_RAISE_DELAY

    @property
    def escalations(self) -> list[tuple[Severity, SeverityStep]]:
        """The severities that it reached, each higher than the one before."""
        escalations: list[tuple[Severity, SeverityStep]] = []
        for severity, step in sorted(self.steps.items(), key=lambda item: item[1].version):
            if not escalations or SEVERITY_RANK[severity] > SEVERITY_RANK[escalations[-1][0]]:
                escalations.append((severity, step))
        return escalations

    @property
    def shown(self) -> Shown:
        """What its clinician sees now."""
        return Shown(severity=self.severity, status=self.status, evidence_version=self.episode.evidence_version)

    @property
    def current_disposition(self) -> Disposition | None:
        """The disposition that decides the status, which can be taken back; None if none does."""
        if self.status == "resolved":
            return self.resolved
        is_decisive = self.status == "acknowledged" or self.episode.must_be_read
        return self.acknowledged if is_decisive and _covers(self.acknowledged, self.severity) else None

    @computed_field  # type: ignore[prop-decorator]
    @property
    def acknowledged(self) -> Disposition | None:
        """The last acknowledgement that was not taken back."""
        return find_counting(self.dispositions, "acknowledged")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def resolved(self) -> Disposition | None:
        """The last resolution that was not taken back."""
        return find_counting(self.dispositions, "resolved")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def status(self) -> Status:
        """The current status. A resolved alert stays resolved unless it escalates, also when its episode is closed."""
        if _covers(self.resolved, self.severity):
            return "resolved"
        if self.is_withdrawn:
            return "retracted"
        is_read = _covers(self.acknowledged, self.severity)
        if self.episode.must_be_read and not is_read:
            return "open"
        if self.episode.ended in ("level_shift", "superseded", "expired"):
            return "ended"
        if self.episode.ended is None and (self.episode.status != "open" or not self.supported):
            return "repaired" if self.episode.status == "repaired" else "retracted"
        return "acknowledged" if is_read else "open"

    @computed_field  # type: ignore[prop-decorator]
    @property
    def is_active(self) -> bool:
        """Whether it waits for its clinician, or for its relationship to be known."""
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
    step = SeverityStep(
        version=event.version,
        at=event.last_sign_at,
        recorded_at=None if event.retrospective else event.recorded_at,
        retrospective=event.retrospective,
    )
    if alert is None:
        return Alert(
            episode_id=event.episode_id,
            relationship_id=event.relationship_id,
            episode=state,
            steps={event.severity: step},
        )
    steps = {**alert.steps, event.severity: step.merge(alert.steps.get(event.severity, step))}
    if not state.supersedes(alert.episode):
        return alert.model_copy(update={"steps": steps})
    return alert.model_copy(update={"episode": state, "supported": True, "steps": steps})


def apply_relationship(alert: Alert, relationship: Relationship) -> Alert:
    """The alert with clinic and clinician, retracted if the alliance no longer names its episode or without consent."""
    is_unsupported = (
        alert.episode.status == "open"
        and relationship.alliance_version >= alert.episode.version
        and relationship.open_episode_id != alert.episode_id
    )
    evolved = alert.model_copy(
        update={
            "clinic_id": relationship.clinic_id or alert.clinic_id,
            "clinician_id": relationship.clinician_id or alert.clinician_id,
            "supported": not is_unsupported,
        }
    )
    return _apply_consent(evolved, relationship)


def _apply_consent(alert: Alert, relationship: Relationship) -> Alert:
    """Signs of before the last withdrawal are gone for good; later ones come back if consent was given again."""
    withdrawn_at = relationship.consent_withdrawn_at
    if withdrawn_at is not None and alert.episode.first_sign_at <= withdrawn_at:
        remains = {"episode": alert.episode.after_withdrawal(), "supported": True, "consent_withdrawn": False}
        return alert.model_copy(update=remains)
    return alert.model_copy(update={"consent_withdrawn": relationship.is_consent_withdrawn})


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


def with_dispositions(alert: Alert, dispositions: Iterable[Disposition]) -> Alert:
    """The alert with these dispositions too, each once."""
    return alert.model_copy(update={"dispositions": sort_dispositions((*alert.dispositions, *dispositions))})


def _covers(disposition: Disposition | None, severity: Severity) -> bool:
    return disposition is not None and disposition.covers(severity)
