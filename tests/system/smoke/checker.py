"""The judgement, from outside: what people sent against what people, and anybody who reads Kafka, can see."""

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from aiokafka import ConsumerRecord

from shared.events import Rater
from shared.kafka.dead_letters.record import ERROR, ORIGIN
from tests.system.support.poison import Poison
from tools.sandbox.network.clinic_systems import Clinics
from tools.sandbox.network.course import Clinic, Course, last_word_on, severe
from tools.sandbox.network.ledger import Ledger

SAME = 0.05  # points; scores are shown rounded


@dataclass(frozen=True)
class Alert:
    """An alert as a clinician's inbox shows it."""

    id: str
    clinician: UUID
    relationship: UUID
    episode: str
    severity: str
    status: str
    first_sign_at: datetime
    last_sign_at: datetime

    @classmethod
    def of(cls, clinician: UUID, content: Mapping[str, Any]) -> "Alert":
        return cls(
            id=content["alert_id"],
            clinician=clinician,
            relationship=UUID(content["relationship_id"]),
            episode=content["episode_id"],
            severity=content["severity"],
            status=content["status"],
            first_sign_at=datetime.fromisoformat(content["first_sign_at"]),
            last_sign_at=datetime.fromisoformat(content["last_sign_at"]),
        )


async def inboxes(clinics: Clinics, clinicians: Iterable[UUID]) -> list[Alert]:
    """Every alert in every inbox."""
    alerts = []
    for clinician in clinicians:
        inbox = await clinics.get("notify", f"/clinicians/{clinician}/inbox")
        alerts += [Alert.of(clinician, alert) for alert in inbox["alerts"]]
    return alerts


async def not_in_a_score(clinics: Clinics, ledger: Ledger, since: datetime, now: datetime) -> list[str]:
    """Relationships whose alliance does not rest on exactly what was acknowledged.

    Forms whose time ran out between `since` and `now` may be noted as unanswered or not.
    """
    wrong = await asyncio.gather(*(_difference(clinics, ledger, r, since, now) for r in ledger.started))
    return [
        f"{relationship}: {difference}"
        for relationship, difference in zip(ledger.started, wrong, strict=True)
        if difference
    ]


async def _difference(clinics: Clinics, ledger: Ledger, relationship: UUID, since: datetime, now: datetime) -> str:
    alliance = await clinics.get("alliance", f"/relationships/{relationship}")
    points = (await clinics.get("alliance", f"/relationships/{relationship}/trajectory"))["points"]
    scores, due_times = ledger.said.get(relationship, {}), ledger.silent.get(relationship, {}).values()
    expected = Counted(
        held=len(ledger.held.get(relationship, ())),
        missed=len(ledger.missed.get(relationship, ())),
        cancelled=len(ledger.cancelled.get(relationship, ())),
        said=scores,
        rated=Counter(rater for _, rater in scores),
        unanswered=range(sum(due_at < since for due_at in due_times), sum(due_at < now for due_at in due_times) + 1),
    )
    return differences(alliance, points, expected)


@dataclass(frozen=True)
class Counted:
    """What an alliance must rest on."""

    held: int
    missed: int
    cancelled: int
    said: Mapping[tuple[UUID, Rater], float]
    """The score of each answer, as it was last corrected."""
    rated: Mapping[Rater, int]
    """How many of the answers of each may be counted: those the client agreed to."""
    unanswered: range
    """As many forms as may have stayed unanswered."""


def differences(alliance: Mapping[str, Any], points: Sequence[Mapping[str, Any]], expected: Counted) -> str:
    """Where an alliance, as people are shown it, rests on anything else; empty when it does not."""
    shown_scores = {
        (UUID(point["session_id"]), point["what"].removesuffix("_rating")): point["rating"]
        for point in points
        if point["rating"] is not None
    }
    counts = Counter(point["what"] for point in points)
    min_unanswered, max_unanswered = expected.unanswered[0], expected.unanswered[-1]
    compared = {
        "held": (alliance["sessions"], expected.held),
        "missed": (alliance["missed"], expected.missed),
        "cancelled": (counts["cancelled"], expected.cancelled),
        "client's answers": (alliance["client_ratings"], expected.rated.get("client", 0)),
        "clinician's answers": (alliance["clinician_ratings"], expected.rated.get("clinician", 0)),
        "answers": (counts["client_rating"] + counts["clinician_rating"], len(expected.said)),
        "other answers": (
            sum(abs(shown_scores.get(key, -1) - score) > SAME for key, score in expected.said.items()),
            0,
        ),
        "no score": (alliance["level"] is None, not expected.rated.get("client")),
        "unanswered": (alliance["unanswered"], min(max(alliance["unanswered"], min_unanswered), max_unanswered)),
    }
    return ", ".join(
        f"{field_name} {actual}, not {expected_value}"
        for field_name, (actual, expected_value) in compared.items()
        if actual != expected_value
    )


async def unanswered(clinics: Clinics, network_clinics: Iterable[Clinic]) -> int:
    """How many forms alliance knows to have stayed unanswered."""
    views = [await clinics.get("alliance", f"/clinics/{clinic.id}/relationships") for clinic in network_clinics]
    return sum(relationship["unanswered"] for view in views for relationship in view["relationships"])


def planted(courses: Iterable[Course]) -> tuple[list[Course], list[Course]]:
    """Those with a rupture that cannot be missed, and those with a fainter one."""
    ruptured = [course for course in courses if course.rupture]
    return [course for course in ruptured if severe(course)], [course for course in ruptured if not severe(course)]


def without_alert(ruptured: Iterable[Course], alerts: Sequence[Alert]) -> list[str]:
    """Those of whose rupture no alert in the inbox of their clinician tells."""
    return [
        f"{course.id}, {severe(course)}: {course.rupture}"
        for course in ruptured
        if not any(_tells_of(alert, course) for alert in alerts)
    ]


def _tells_of(alert: Alert, course: Course) -> bool:
    assert course.rupture
    starts_at = min(
        session.starts_at for session in course.sessions if course.rupture.covers(session.number)
    ) - timedelta(days=1)
    return (
        (alert.relationship, alert.clinician) == (course.id, course.clinician_id)
        and alert.last_sign_at >= starts_at
        and alert.first_sign_at <= last_word_on(course, course.rupture)
    )


def in_a_wrong_inbox(alerts: Iterable[Alert], courses: Iterable[Course]) -> list[Alert]:
    """Alerts that somebody else's clinician sees."""
    clinician_by_relationship = {course.id: course.clinician_id for course in courses}
    return [alert for alert in alerts if clinician_by_relationship.get(alert.relationship) != alert.clinician]


def open_twice(alerts: Iterable[Alert]) -> list[str]:
    """Relationships with more than one alert that is not settled; one episode at a time is open."""
    open_counts = Counter(alert.relationship for alert in alerts if alert.status in ("open", "acknowledged"))
    return [f"{relationship}: {count} alerts" for relationship, count in open_counts.items() if count > 1]


def dead_letters_amiss(consumer: str, planted: Sequence[Poison], letters: Sequence[ConsumerRecord]) -> list[str]:
    """Where the dead letters of `consumer` are not exactly those planted, byte for byte, with origin and cause."""
    expected = Counter((poison.key, poison.value) for poison in planted if consumer in poison.set_aside_by)
    actual = Counter((dead_letter.key, dead_letter.value) for dead_letter in letters)
    amiss = [f"missing: {key!r}" for key, _ in (expected - actual).elements()]
    amiss += [
        f"not planted, or again: {key!r} {(value or b'')[:100]!r}" for key, value in (actual - expected).elements()
    ]
    by_key = {poison.key: poison for poison in planted}
    for dead_letter in letters:
        headers = dict(dead_letter.headers)
        poison = by_key.get(dead_letter.key)
        origin = headers.get(ORIGIN, b"").decode()
        if not headers.get(ERROR) or (poison and not origin.startswith(f"{poison.topic.name}/")):
            amiss.append(f"without cause or origin: {dead_letter.key!r} {headers}")
    return amiss
