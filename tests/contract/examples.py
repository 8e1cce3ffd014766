"""The life of one relationship in all event types, each with all fields and with the required fields only."""

from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID, uuid5

from shared.events import (
    Aim,
    AllianceUpdated,
    ClientErased,
    ClinicianRegistered,
    ClinicianUpdated,
    ClinicUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    Element,
    Event,
    FeedbackAmended,
    FeedbackLapsed,
    FeedbackRequested,
    FeedbackSubmitted,
    InstrumentTotal,
    RelationshipAimsUpdated,
    RelationshipEnded,
    RelationshipStarted,
    SessionCancelled,
    SessionCompleted,
    SessionMissed,
    SessionScheduled,
)
from tests.contract.correction_examples import CORRECTION_EXAMPLES
from tests.contract.rupture_examples import RUPTURE_EXAMPLES
from tests.contract.staff_examples import STAFF_EXAMPLES


def _id(name: str) -> UUID:
    return uuid5(UUID("0a77c0de-0000-4000-8000-000000000000"), name)


def _at(day: int, hour: int = 10, milliseconds: int = 0) -> datetime:
    return datetime(2026, 1, day, hour, 0, 0, milliseconds * 1000, tzinfo=UTC)


RELATIONSHIP, CLINIC, CLINICIAN, SESSION = (_id(name) for name in ("relationship", "clinic", "clinician", "session"))
EPISODE = _id("episode")

_SESSION: Any = {"relationship_id": RELATIONSHIP, "session_id": SESSION}
_CLINIC_RECORD: Any = {"clinic_id": CLINIC, "name": "Clinic by the Lake", "time_zone": "Europe/Berlin"}
_CRISIS: Any = {"crisis_contact": "the duty desk, day and night", "crisis_numbers": ("+49 (0)30 23125-000", "112")}

EXAMPLES: tuple[Event, ...] = (
    ClinicUpdated(id=_id("clinic added"), occurred_at=_at(1), **_CLINIC_RECORD, crisis_contact="the duty desk"),
    ClinicUpdated(id=_id("clinic changed"), occurred_at=_at(2), **_CLINIC_RECORD, **_CRISIS),
    ClinicianRegistered(
        id=_id("registered"), occurred_at=_at(1), clinician_id=CLINICIAN, clinic_id=CLINIC, time_zone="Europe/Berlin"
    ),
    ClinicianUpdated(
        id=_id("moved"), occurred_at=_at(2), clinician_id=CLINICIAN, clinic_id=CLINIC, time_zone="Etc/GMT+3"
    ),
    RelationshipStarted(
        id=_id("started"),
        occurred_at=_at(3),
        relationship_id=RELATIONSHIP,
        clinic_id=CLINIC,
        clinician_id=CLINICIAN,
        client_id=_id("client"),
        case_code="AB-12",
        aims=("coping",),
        cadence_days=7,
    ),
    RelationshipStarted(
        id=_id("started after a transfer"),
        occurred_at=_at(3, 10, 999),
        relationship_id=RELATIONSHIP,
        clinic_id=CLINIC,
        clinician_id=CLINICIAN,
        client_id=_id("client"),
        case_code="0Z",
        aims=get_args(Aim),
        cadence_days=365,
        predecessor_id=_id("relationship before"),
    ),
    RelationshipAimsUpdated(
        id=_id("aims"), occurred_at=_at(10), relationship_id=RELATIONSHIP, aims=("loss", "daily_life")
    ),
    *(
        RelationshipEnded(
            id=_id(reason),
            occurred_at=_at(30),
            relationship_id=RELATIONSHIP,
            reason=reason,
            successor_id=_id("relationship after") if reason == "transferred" else None,
        )
        for reason in ("completed", "stopped_by_client", "stopped_by_clinician", "transferred", "other")
    ),
    ConsentGiven(id=_id("consent"), occurred_at=_at(3), relationship_id=RELATIONSHIP),
    ConsentWithdrawn(id=_id("no consent"), occurred_at=_at(25), relationship_id=RELATIONSHIP),
    ClientErased(id=_id("erased"), occurred_at=_at(31), relationship_id=RELATIONSHIP, client_id=_id("client")),
    SessionScheduled(id=_id("scheduled"), occurred_at=_at(5), **_SESSION, starts_at=_at(6), minutes=50),
    SessionCompleted(
        id=_id("completed session"),
        occurred_at=_at(6),
        relationship_id=RELATIONSHIP,
        session_id=SESSION,
        minutes=1,
        planned_minutes=480,
    ),
    SessionMissed(id=_id("missed"), occurred_at=_at(6), relationship_id=RELATIONSHIP, session_id=SESSION),
    *(
        SessionCancelled(
            id=_id(f"cancelled by {by}"),
            occurred_at=_at(6),
            relationship_id=RELATIONSHIP,
            session_id=SESSION,
            by=by,
            notice_hours=hours,
        )
        for by, hours in (("client", 0), ("clinician", 3.25), ("clinic", 8760))
    ),
    FeedbackRequested(
        id=_id("requested"),
        occurred_at=_at(6),
        relationship_id=RELATIONSHIP,
        session_id=SESSION,
        rater="client",
        due_at=_at(9),
    ),
    FeedbackSubmitted(
        id=_id("submitted"),
        occurred_at=_at(7),
        relationship_id=RELATIONSHIP,
        session_id=SESSION,
        rater="client",
        ratings=dict.fromkeys(get_args(Element), 8.5),
        tension="a_little",
        talked_about="partly",
        outcome=InstrumentTotal(name="ors", total=24.5),
        collected_by="form",
        language="en-GB",
    ),
    FeedbackSubmitted(
        id=_id("submitted as a total"),
        occurred_at=_at(7),
        relationship_id=RELATIONSHIP,
        session_id=SESSION,
        rater="clinician",
        instrument=InstrumentTotal(name="wai-sr", total=47.5),
    ),
    FeedbackSubmitted(
        id=_id("submitted in one word"),
        occurred_at=_at(7),
        relationship_id=RELATIONSHIP,
        session_id=SESSION,
        rater="client",
        ratings={"fit": 0},
        tension="none",
    ),
    FeedbackAmended(
        id=_id("amended"),
        occurred_at=_at(8),
        relationship_id=RELATIONSHIP,
        session_id=SESSION,
        rater="client",
        ratings={"trust": 10},
        tension="yes",
        talked_about="not",
        amends=_id("submitted"),
        outcome=InstrumentTotal(name="ors", total=0),
        collected_by="desk",
        language="zh-Hant-TW",
    ),
    FeedbackLapsed(
        id=_id("lapsed"), occurred_at=_at(9), relationship_id=RELATIONSHIP, session_id=SESSION, rater="clinician"
    ),
    AllianceUpdated(
        id=_id("updated"),
        occurred_at=_at(7),
        relationship_id=RELATIONSHIP,
        version=1,
        level=None,
        low=None,
        high=None,
        sessions=0,
        ratings=0,
        policy="3f2a",
    ),
    AllianceUpdated(
        id=_id("updated later"),
        occurred_at=_at(13),
        relationship_id=RELATIONSHIP,
        version=12,
        level=61.25,
        low=0,
        high=100,
        elements=dict.fromkeys(get_args(Element), 61.25),
        sessions=9,
        ratings=8,
        open_episode_id=EPISODE,
        policy="3f2a",
        standing="concern",
        since=_at(9),
        trend="falling",
        difference=-12.5,
        attendance=0.9,
        response=1,
        information="good",
        outcome=61.25,
    ),
    *RUPTURE_EXAMPLES,
    *CORRECTION_EXAMPLES,
    *STAFF_EXAMPLES,
)
