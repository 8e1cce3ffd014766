"""The checks from outside: compare what was acknowledged with what the APIs and the topics show."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from aiokafka import ConsumerRecord

from shared.events import Rater
from shared.kafka.dead_letters.record import ERROR_HEADER, ORIGIN_HEADER
from tests.system.support.poison import PoisonMessage
from tools.sandbox.network.caseloads import read_caseload
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Clinic, Course, latest_possible_sign, severe_reason
from tools.sandbox.network.ledger import Ledger

SCORE_TOLERANCE_POINTS = 0.05  # scores are shown rounded


@dataclass(frozen=True)
class InboxAlert:
    """An alert as a clinician's inbox shows it."""

    id: str
    clinician_id: UUID
    relationship_id: UUID
    episode_id: str
    severity: str
    status: str
    first_sign_at: datetime
    last_sign_at: datetime

    @classmethod
    def from_json(cls, clinician_id: UUID, content: Mapping[str, Any]) -> "InboxAlert":
        return cls(
            id=content["alert_id"],
            clinician_id=clinician_id,
            relationship_id=UUID(content["relationship_id"]),
            episode_id=content["episode_id"],
            severity=content["severity"],
            status=content["status"],
            first_sign_at=datetime.fromisoformat(content["first_sign_at"]),
            last_sign_at=datetime.fromisoformat(content["last_sign_at"]),
        )


async def read_inbox_alerts(clinic_systems: ClinicSystems, clinicians: Iterable[UUID]) -> list[InboxAlert]:
    """All alerts in the inboxes of these clinicians."""
    alerts = []
    for clinician in clinicians:
        alerts += [InboxAlert.from_json(clinician, alert) for alert in await clinic_systems.read_inbox(clinician)]
    return alerts


async def score_differences(
    clinic_systems: ClinicSystems, ledger: Ledger, started_at: datetime, checked_at: datetime
) -> list[str]:
    """Relationships whose alliance is not based on exactly what was acknowledged.

    Forms that were due between `started_at` and `checked_at` may count as unanswered or not.
    """
    differences = await asyncio.gather(
        *(
            _score_difference(clinic_systems, ledger, relationship, clinic, started_at, checked_at)
            for relationship, clinic in ledger.started_relationships.items()
        )
    )
    return [
        f"{relationship}: {difference}"
        for relationship, difference in zip(ledger.started_relationships, differences, strict=True)
        if difference
    ]


async def _score_difference(
    clinic_systems: ClinicSystems,
    ledger: Ledger,
    relationship: UUID,
    clinic: UUID,
    started_at: datetime,
    checked_at: datetime,
) -> str:
    path, system = f"/relationships/{relationship}", clinic_systems.credentials.machine(clinic)
    alliance = await clinic_systems.get("alliance", path, system)
    points = (await clinic_systems.get("alliance", f"{path}/trajectory", system))["points"]
    scores, due_times = ledger.scores.get(relationship, {}), ledger.unanswered_until.get(relationship, {}).values()
    expected = ExpectedCounts(
        held=len(ledger.held_sessions.get(relationship, ())),
        missed=len(ledger.missed_sessions.get(relationship, ())),
        cancelled=len(ledger.cancelled_sessions.get(relationship, ())),
        scores=scores,
        counted_answers=Counter(rater for _, rater in scores),
        unanswered_range=range(
            sum(due_at < started_at for due_at in due_times), sum(due_at < checked_at for due_at in due_times) + 1
        ),
    )
    return describe_differences(alliance, points, expected)


@dataclass(frozen=True)
class ExpectedCounts:
    """The counts on which an alliance must be based."""

    held: int
    missed: int
    cancelled: int
    scores: Mapping[tuple[UUID, Rater], float]
    """The score of each answer after its last correction."""
    counted_answers: Mapping[Rater, int]
    """How many answers of each rater count: those given while the client consented."""
    unanswered_range: range
    """How many forms may count as unanswered."""


def describe_differences(
    alliance: Mapping[str, Any], points: Sequence[Mapping[str, Any]], expected: ExpectedCounts
) -> str:
    """Differences between a displayed alliance and the expected counts; empty if there are none."""
    shown_scores = {
        (UUID(point["session_id"]), point["what"].removesuffix("_rating")): point["rating"]
        for point in points
        if point["rating"] is not None
    }
    counts = Counter(point["what"] for point in points)
    min_unanswered, max_unanswered = expected.unanswered_range[0], expected.unanswered_range[-1]
    compared = {
        "held": (alliance["sessions"], expected.held),
        "missed": (alliance["missed"], expected.missed),
        "cancelled": (counts["cancelled"], expected.cancelled),
        "client's answers": (alliance["client_ratings"], expected.counted_answers.get("client", 0)),
        "clinician's answers": (alliance["clinician_ratings"], expected.counted_answers.get("clinician", 0)),
        "answers": (counts["client_rating"] + counts["clinician_rating"], len(expected.scores)),
        "other answers": (
            sum(
                abs(shown_scores.get(key, -1) - score) > SCORE_TOLERANCE_POINTS
                for key, score in expected.scores.items()
            ),
            0,
        ),
        "no score": (alliance["level"] is None, not expected.counted_answers.get("client")),
        "unanswered": (alliance["unanswered"], min(max(alliance["unanswered"], min_unanswered), max_unanswered)),
    }
    return ", ".join(
        f"{field_name} {actual}, not {expected_value}"
        for field_name, (actual, expected_value) in compared.items()
        if actual != expected_value
    )


async def count_unanswered(clinic_systems: ClinicSystems, network_clinics: Iterable[Clinic]) -> int:
    """How many forms alliance counts as unanswered."""
    caseloads = [await read_caseload(clinic_systems, clinic.id) for clinic in network_clinics]
    return sum(relationship["unanswered"] for caseload in caseloads for relationship in caseload)


def split_by_severity(courses: Iterable[Course]) -> tuple[list[Course], list[Course]]:
    """The courses with a rupture that must be detected, and those with a fainter one."""
    ruptured = [course for course in courses if course.rupture]
    return [course for course in ruptured if severe_reason(course)], [
        course for course in ruptured if not severe_reason(course)
    ]


def missing_alerts(ruptured: Iterable[Course], alerts: Sequence[InboxAlert]) -> list[str]:
    """Courses whose rupture has no alert in the inbox of their clinician."""
    return [
        f"{course.id}, {severe_reason(course)}: {course.rupture}"
        for course in ruptured
        if not any(_matches(alert, course) for alert in alerts)
    ]


def _matches(alert: InboxAlert, course: Course) -> bool:
    assert course.rupture
    starts_at = min(
        session.starts_at for session in course.sessions if course.rupture.covers(session.number)
    ) - timedelta(days=1)
    return (
        (alert.relationship_id, alert.clinician_id) == (course.id, course.clinician_id)
        and alert.last_sign_at >= starts_at
        and alert.first_sign_at <= latest_possible_sign(course, course.rupture)
    )


def misrouted_alerts(alerts: Iterable[InboxAlert], courses: Iterable[Course]) -> list[InboxAlert]:
    """Alerts in the inbox of another clinician."""
    clinician_by_relationship = {course.id: course.clinician_id for course in courses}
    return [alert for alert in alerts if clinician_by_relationship.get(alert.relationship_id) != alert.clinician_id]


def multiple_open_alerts(alerts: Iterable[InboxAlert]) -> list[str]:
    """Relationships with more than one active alert; only one episode can be open at a time."""
    open_counts = Counter(alert.relationship_id for alert in alerts if alert.status in ("open", "acknowledged"))
    return [f"{relationship}: {count} alerts" for relationship, count in open_counts.items() if count > 1]


def dead_letter_differences(
    consumer: str, poison_messages: Sequence[PoisonMessage], dead_letter_records: Sequence[ConsumerRecord]
) -> list[str]:
    """Differences between the dead letters of `consumer` and the poison messages, with their origin and error."""
    expected = Counter((poison.key, poison.value) for poison in poison_messages if consumer in poison.dead_lettered_by)
    actual = Counter((dead_letter.key, dead_letter.value) for dead_letter in dead_letter_records)
    differences = [f"missing: {key!r}" for key, _ in (expected - actual).elements()]
    differences += [
        f"unexpected or duplicate: {key!r} {(value or b'')[:100]!r}" for key, value in (actual - expected).elements()
    ]
    by_key = {poison.key: poison for poison in poison_messages}
    for dead_letter in dead_letter_records:
        headers = dict(dead_letter.headers)
        poison = by_key.get(dead_letter.key)
        origin = headers.get(ORIGIN_HEADER, b"").decode()
        if not headers.get(ERROR_HEADER) or (poison and not origin.startswith(f"{poison.topic.name}/")):
            differences.append(f"without error or origin header: {dead_letter.key!r} {headers}")
    return differences
