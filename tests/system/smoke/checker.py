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
    def of(cls, clinician: UUID, shown: Mapping[str, Any]) -> "Alert":
        return cls(
            id=shown["alert_id"],
            clinician=clinician,
            relationship=UUID(shown["relationship_id"]),
            episode=shown["episode_id"],
            severity=shown["severity"],
            status=shown["status"],
            first_sign_at=datetime.fromisoformat(shown["first_sign_at"]),
            last_sign_at=datetime.fromisoformat(shown["last_sign_at"]),
        )


async def inboxes(clinics: Clinics, clinicians: Iterable[UUID]) -> list[Alert]:
    """Every alert in every inbox."""
    found = []
    for clinician in clinicians:
        inbox = await clinics.get("notify", f"/clinicians/{clinician}/inbox")
        found += [Alert.of(clinician, alert) for alert in inbox["alerts"]]
    return found


async def not_in_a_score(clinics: Clinics, ledger: Ledger, since: datetime, now: datetime) -> list[str]:
    """Relationships whose alliance does not rest on exactly what was acknowledged.

    Forms whose time ran out between `since` and `now` may be noted as unanswered or not.
    """
    wrong = await asyncio.gather(*(_difference(clinics, ledger, r, since, now) for r in ledger.started))
    return [f"{relationship}: {what}" for relationship, what in zip(ledger.started, wrong, strict=True) if what]


async def _difference(clinics: Clinics, ledger: Ledger, relationship: UUID, since: datetime, now: datetime) -> str:
    alliance = await clinics.get("alliance", f"/relationships/{relationship}")
    points = (await clinics.get("alliance", f"/relationships/{relationship}/trajectory"))["points"]
    said, due = ledger.said.get(relationship, {}), ledger.silent.get(relationship, {}).values()
    counted = Counted(
        held=len(ledger.held.get(relationship, ())),
        missed=len(ledger.missed.get(relationship, ())),
        cancelled=len(ledger.cancelled.get(relationship, ())),
        said=said,
        rated=Counter(rater for _, rater in said),
        unanswered=range(sum(at < since for at in due), sum(at < now for at in due) + 1),
    )
    return differences(alliance, points, counted)


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


def differences(alliance: Mapping[str, Any], points: Sequence[Mapping[str, Any]], counted: Counted) -> str:
    """Where an alliance, as people are shown it, rests on anything else; empty when it does not."""
    said = {
        (UUID(point["session_id"]), point["what"].removesuffix("_rating")): point["rating"]
        for point in points
        if point["rating"] is not None
    }
    counts = Counter(point["what"] for point in points)
    least, most = counted.unanswered[0], counted.unanswered[-1]
    compared = {
        "held": (alliance["sessions"], counted.held),
        "missed": (alliance["missed"], counted.missed),
        "cancelled": (counts["cancelled"], counted.cancelled),
        "client's answers": (alliance["client_ratings"], counted.rated.get("client", 0)),
        "clinician's answers": (alliance["clinician_ratings"], counted.rated.get("clinician", 0)),
        "answers": (counts["client_rating"] + counts["clinician_rating"], len(counted.said)),
        "other answers": (sum(abs(said.get(key, -1) - score) > SAME for key, score in counted.said.items()), 0),
        "no score": (alliance["level"] is None, not counted.rated.get("client")),
        "unanswered": (alliance["unanswered"], min(max(alliance["unanswered"], least), most)),
    }
    return ", ".join(
        f"{what} {is_so}, not {told_so}" for what, (is_so, told_so) in compared.items() if is_so != told_so
    )


async def unanswered(clinics: Clinics, network: Iterable[Clinic]) -> int:
    """How many forms alliance knows to have stayed unanswered."""
    views = [await clinics.get("alliance", f"/clinics/{clinic.id}/relationships") for clinic in network]
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
    begins = min(s.starts_at for s in course.sessions if course.rupture.covers(s.number)) - timedelta(days=1)
    return (
        (alert.relationship, alert.clinician) == (course.id, course.clinician_id)
        and alert.last_sign_at >= begins
        and alert.first_sign_at <= last_word_on(course, course.rupture)
    )


def in_a_wrong_inbox(alerts: Iterable[Alert], courses: Iterable[Course]) -> list[Alert]:
    """Alerts that somebody else's clinician sees."""
    whose = {course.id: course.clinician_id for course in courses}
    return [alert for alert in alerts if whose.get(alert.relationship) != alert.clinician]


def open_twice(alerts: Iterable[Alert]) -> list[str]:
    """Relationships with more than one alert that is not settled; one episode at a time is open."""
    still_open = Counter(alert.relationship for alert in alerts if alert.status in ("open", "acknowledged"))
    return [f"{relationship}: {count} alerts" for relationship, count in still_open.items() if count > 1]


def dead_letters_amiss(consumer: str, planted: Sequence[Poison], letters: Sequence[ConsumerRecord]) -> list[str]:
    """Where the dead letters of `consumer` are not exactly those planted, byte for byte, with origin and cause."""
    expected = Counter((poison.key, poison.value) for poison in planted if consumer in poison.set_aside_by)
    found = Counter((letter.key, letter.value) for letter in letters)
    amiss = [f"missing: {key!r}" for key, _ in (expected - found).elements()]
    amiss += [
        f"not planted, or again: {key!r} {(value or b'')[:100]!r}" for key, value in (found - expected).elements()
    ]
    by_key = {poison.key: poison for poison in planted}
    for letter in letters:
        headers = dict(letter.headers)
        poison = by_key.get(letter.key)
        origin = headers.get(ORIGIN, b"").decode()
        if not headers.get(ERROR) or (poison and not origin.startswith(f"{poison.topic.name}/")):
            amiss.append(f"without cause or origin: {letter.key!r} {headers}")
    return amiss
