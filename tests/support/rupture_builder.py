"""What is told of a relationship that shows signs of rupture, to begin with."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4, uuid5

from shared.events import (
    AllianceUpdated,
    ClientErased,
    Evidence,
    RelationshipEnded,
    RelationshipStarted,
    RuptureChanged,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    RuptureSuspected,
    SessionCancelled,
    SessionScheduled,
    Severity,
)

DROP = {"rating": 54.0, "expected": 86.0, "low": 74.0}


class Strained:
    """One relationship; its first episode is 0. Told twice, an event is the same."""

    def __init__(
        self,
        now: datetime | None = None,
        clinician: UUID | None = None,
        case_code: str = "AB-12",
        relationship: UUID | None = None,
    ) -> None:
        self.relationship = relationship or uuid4()
        self.clinician = clinician or uuid4()
        self.case_code = case_code
        self.now = (now or datetime.now(UTC)).replace(microsecond=0)

    def episode(self, number: int = 0) -> UUID:
        return uuid5(self.relationship, f"episode {number}")

    def alert(self, number: int = 0) -> UUID:
        return uuid5(self.episode(number), "alert")

    @staticmethod
    def alert_of(event: RuptureEvent) -> UUID:
        return uuid5(event.episode_id, "alert")

    def started(self) -> RelationshipStarted:
        return RelationshipStarted(
            id=uuid5(self.relationship, "started"),
            occurred_at=self.now - timedelta(days=90),
            relationship_id=self.relationship,
            clinic_id=uuid5(self.relationship, "clinic"),
            clinician_id=self.clinician,
            client_id=uuid5(self.relationship, "client"),
            case_code=self.case_code,
            aims=("coping",),
            cadence_days=7,
        )

    def ended(self) -> RelationshipEnded:
        return RelationshipEnded(
            id=uuid5(self.relationship, "ended"),
            occurred_at=self.now,
            relationship_id=self.relationship,
            reason="completed",
        )

    def erased(self) -> ClientErased:
        return ClientErased(
            id=uuid5(self.relationship, "erased"),
            occurred_at=self.now,
            relationship_id=self.relationship,
            client_id=uuid5(self.relationship, "client"),
        )

    def scheduled(self, in_days: float, session: int = 0, told_hours_ago: float = 1) -> SessionScheduled:
        return SessionScheduled(
            id=uuid5(self.relationship, f"scheduled {session} {in_days} {told_hours_ago}"),
            occurred_at=self.now - timedelta(hours=told_hours_ago),
            relationship_id=self.relationship,
            session_id=uuid5(self.relationship, f"session {session}"),
            starts_at=self.now + timedelta(days=in_days),
            minutes=50,
        )

    def cancelled(self, in_days: float, session: int = 0, told_hours_ago: float = 0.5) -> SessionCancelled:
        return SessionCancelled(
            id=uuid5(self.relationship, f"cancelled {session}"),
            occurred_at=self.now - timedelta(hours=told_hours_ago),
            relationship_id=self.relationship,
            session_id=uuid5(self.relationship, f"session {session}"),
            by="client",
            notice_hours=max(0.0, 24 * in_days + told_hours_ago),
        )

    def suspected(
        self, version: int, severity: Severity = "concern", episode: int = 0, days_ago: float = 1
    ) -> RuptureEvent:
        return self._about(RuptureSuspected, version, severity, episode, days_ago)

    def changed(
        self, version: int, severity: Severity = "concern", episode: int = 0, days_ago: float = 0.5
    ) -> RuptureEvent:
        return self._about(RuptureChanged, version, severity, episode, days_ago)

    def repaired(
        self, version: int, severity: Severity = "concern", episode: int = 0, days_ago: float = 0.2
    ) -> RuptureEvent:
        return self._about(RuptureRepaired, version, severity, episode, days_ago)

    def retracted(
        self, version: int, severity: Severity = "concern", episode: int = 0, days_ago: float = 0.2
    ) -> RuptureEvent:
        return self._about(RuptureRetracted, version, severity, episode, days_ago, reason="amended")

    def updated(self, version: int, episode: int | None = None) -> AllianceUpdated:
        """The alliance at `version`, with that episode open, or none."""
        return AllianceUpdated(
            id=uuid5(self.relationship, f"alliance {version}"),
            occurred_at=self.now,
            relationship_id=self.relationship,
            version=version,
            level=60,
            low=55,
            high=80,
            sessions=8,
            ratings=8,
            open_episode_id=None if episode is None else self.episode(episode),
            policy="test",
        )

    def _about(
        self, kind: type[RuptureEvent], version: int, severity: Severity, episode: int, days_ago: float, **more: object
    ) -> RuptureEvent:
        last_sign_at = self.now - timedelta(days=days_ago)
        return kind.model_validate(
            {
                "id": uuid5(self.relationship, f"{kind.kind()} {episode} {version}"),
                "occurred_at": last_sign_at,
                "relationship_id": self.relationship,
                "version": version,
                "episode_id": self.episode(episode),
                "first_sign_at": self.now - timedelta(days=max(2.0, days_ago)),
                "last_sign_at": last_sign_at,
                "severity": severity,
                "evidence": (Evidence(detector="sudden_drop", strength=1.4, occurred_at=last_sign_at, numbers=DROP),),
                "policy": "test",
                **more,
            }
        )
