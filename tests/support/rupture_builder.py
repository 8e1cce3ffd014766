"""Builds the events of a relationship that shows signs of rupture."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

from shared.access.clinic_id import ClinicId
from shared.events import (
    AllianceUpdated,
    ClientErased,
    ClinicianRegistered,
    ConsentGiven,
    ConsentWithdrawn,
    EpisodeEndReason,
    Evidence,
    LevelShift,
    RelationshipEnded,
    RelationshipReopened,
    RelationshipStarted,
    RuptureChanged,
    RuptureEnded,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
    SessionCancelled,
    SessionReinstated,
    SessionScheduled,
    Severity,
)
from shared.events.intake import EndReason

DROP_NUMBERS = {"rating": 54.0, "expected": 86.0, "low": 74.0}


class RuptureBuilder:
    """Builds the events of one relationship. The first episode is 0. The same arguments give the same event."""

    def __init__(
        self,
        now: datetime | None = None,
        clinician_id: UUID | None = None,
        case_code: str = "AB-12",
        relationship_id: UUID | None = None,
        clinic_id: UUID | None = None,
    ) -> None:
        self.relationship_id = relationship_id or uuid4()
        self.clinic_id = ClinicId(clinic_id or uuid5(self.relationship_id, "clinic"))
        self.clinician_id = clinician_id or uuid4()
        self.case_code = case_code
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)

    def episode_id(self, number: int = 0) -> UUID:
        return uuid5(self.relationship_id, f"episode {number}")

    def alert_id(self, number: int = 0) -> UUID:
        return uuid5(self.episode_id(number), "alert")

    @staticmethod
    def alert_id_of(event: RuptureEvent) -> UUID:
        return uuid5(event.episode_id, "alert")

    def registered(self) -> ClinicianRegistered:
        return ClinicianRegistered(
            id=uuid5(self.clinician_id, "registered"),
            occurred_at=self.now - timedelta(days=100),
            clinician_id=self.clinician_id,
            clinic_id=self.clinic_id,
            time_zone="Europe/Berlin",
        )

    def started(self) -> RelationshipStarted:
        return RelationshipStarted(
            id=uuid5(self.relationship_id, "started"),
            occurred_at=self.now - timedelta(days=90),
            relationship_id=self.relationship_id,
            clinic_id=self.clinic_id,
            clinician_id=self.clinician_id,
            client_id=uuid5(self.relationship_id, "client"),
            case_code=self.case_code,
            aims=("coping",),
            cadence_days=7,
        )

    def ended(self) -> RelationshipEnded:
        return RelationshipEnded(
            id=uuid5(self.relationship_id, "ended"),
            occurred_at=self.now,
            relationship_id=self.relationship_id,
            reason="completed",
        )

    def consent_given(self, days_ago: float = 90) -> ConsentGiven:
        return ConsentGiven(
            id=uuid5(self.relationship_id, f"consent given {days_ago}"),
            occurred_at=self.now - timedelta(days=days_ago),
            relationship_id=self.relationship_id,
        )

    def consent_withdrawn(self, days_ago: float = 0) -> ConsentWithdrawn:
        return ConsentWithdrawn(
            id=uuid5(self.relationship_id, f"consent withdrawn {days_ago}"),
            occurred_at=self.now - timedelta(days=days_ago),
            relationship_id=self.relationship_id,
        )

    def erased(self) -> ClientErased:
        return ClientErased(
            id=uuid5(self.relationship_id, "erased"),
            occurred_at=self.now,
            relationship_id=self.relationship_id,
            client_id=uuid5(self.relationship_id, "client"),
        )

    def scheduled(self, in_days: float, session: int = 0, hours_ago: float = 1) -> SessionScheduled:
        return SessionScheduled(
            id=uuid5(self.relationship_id, f"scheduled {session} {in_days} {hours_ago}"),
            occurred_at=self.now - timedelta(hours=hours_ago),
            relationship_id=self.relationship_id,
            session_id=uuid5(self.relationship_id, f"session {session}"),
            starts_at=self.now + timedelta(days=in_days),
            minutes=50,
        )

    def cancelled(self, in_days: float, session: int = 0, hours_ago: float = 0.5) -> SessionCancelled:
        return SessionCancelled(
            id=uuid5(self.relationship_id, f"cancelled {session}"),
            occurred_at=self.now - timedelta(hours=hours_ago),
            relationship_id=self.relationship_id,
            session_id=uuid5(self.relationship_id, f"session {session}"),
            by="client",
            notice_hours=max(0.0, 24 * in_days + hours_ago),
        )

    def reinstated(self, in_days: float, correction: int = 1) -> SessionReinstated:
        return SessionReinstated(
            id=uuid5(self.relationship_id, f"reinstated {correction}"),
            occurred_at=self.now,
            relationship_id=self.relationship_id,
            session_id=uuid5(self.relationship_id, "session 0"),
            starts_at=self.now + timedelta(days=in_days),
            minutes=50,
            correction=correction,
        )

    def reopened(self, correction: int = 1) -> RelationshipReopened:
        return RelationshipReopened(
            id=uuid5(self.relationship_id, f"reopened {correction}"),
            occurred_at=self.now,
            relationship_id=self.relationship_id,
            correction=correction,
        )

    def suspected(
        self, version: int, severity: Severity = "concern", episode: int = 0, days_ago: float = 1
    ) -> RuptureEvent:
        return self._rupture_event(RuptureSuspected, version, severity, episode, days_ago)

    def changed(
        self, version: int, severity: Severity = "concern", episode: int = 0, days_ago: float = 0.5
    ) -> RuptureEvent:
        return self._rupture_event(RuptureChanged, version, severity, episode, days_ago)

    def repaired(
        self, version: int, severity: Severity = "concern", episode: int = 0, days_ago: float = 0.2
    ) -> RuptureEvent:
        return self._rupture_event(RuptureRepaired, version, severity, episode, days_ago)

    def retracted(
        self,
        version: int,
        severity: Severity = "concern",
        episode: int = 0,
        days_ago: float = 0.2,
        reason: str = "amended",
        end_reason: EndReason | None = None,
    ) -> RuptureEvent:
        return self._rupture_event(
            RuptureRetracted, version, severity, episode, days_ago, reason=reason, end_reason=end_reason
        )

    def ended_episode(
        self,
        version: int,
        reason: EpisodeEndReason,
        severity: Severity = "concern",
        episode: int = 0,
        days_ago: float = 0.2,
        shift: LevelShift | None = None,
    ) -> RuptureEvent:
        """The end of an episode; the next one supersedes it if that is the reason."""
        superseded_by = self.episode_id(episode + 1) if reason == "superseded" else None
        return self._rupture_event(
            RuptureEnded, version, severity, episode, days_ago, reason=reason, superseded_by=superseded_by, shift=shift
        )

    def updated(self, version: int, episode: int | None = None) -> AllianceUpdated:
        """The alliance at `version`, with this open episode, or none."""
        return AllianceUpdated(
            id=uuid5(self.relationship_id, f"alliance {version}"),
            occurred_at=self.now,
            relationship_id=self.relationship_id,
            version=version,
            level=60,
            low=55,
            high=80,
            sessions=8,
            ratings=8,
            open_episode_id=None if episode is None else self.episode_id(episode),
            policy="test",
        )

    def _rupture_event(
        self,
        event_class: type[RuptureEvent],
        version: int,
        severity: Severity,
        episode: int,
        days_ago: float,
        **extra: object,
    ) -> RuptureEvent:
        last_sign_at = self.now - timedelta(days=days_ago)
        return event_class.model_validate(
            {
                "id": uuid5(self.relationship_id, f"{event_class.event_type()} {episode} {version}"),
                "occurred_at": last_sign_at,
                "relationship_id": self.relationship_id,
                "version": version,
                "episode_id": self.episode_id(episode),
                "first_sign_at": self.now - timedelta(days=max(2.0, days_ago)),
                "last_sign_at": last_sign_at,
                "severity": severity,
                "evidence": (
                    Evidence(detector="sudden_drop", strength=1.4, occurred_at=last_sign_at, numbers=DROP_NUMBERS),
                ),
                "policy": "test",
                **extra,
            }
        )
