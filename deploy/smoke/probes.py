"""How long it takes from the acknowledgement of an answer to the alert in the inbox."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from deploy.simulation.clinic import Clinics
from deploy.simulation.course import ELEMENTS, Clinic, Clinician, Course, Said, Session

PROBES = 120
AT_ONCE = 4  # measured at so many at a time: a busy morning, not a stampede
KNOWN = 3  # sessions that went well, before a fall that must stand out
LOOK_EVERY = 0.01  # seconds; half of it is added to what is measured
NAMESPACE = UUID("b0a0a0ce-7c26-4f3c-8a56-0a8f5d4e9b77")


def probes(clinic: Clinic, until: datetime) -> tuple[list[Clinician], list[Course]]:
    """Relationships that are well but for the last answer, with clinicians of their own.

    In one half the client's ratings fall far, in the other the client says outright that there was a tension.
    """
    clinicians = [
        Clinician(uuid5(NAMESPACE, f"clinician {i}"), clinic.id, f"probe-{i}", None, webhook=False) for i in range(6)
    ]
    return clinicians, [_probe(clinicians[i % len(clinicians)], i, until) for i in range(PROBES)]


def _probe(clinician: Clinician, index: int, until: datetime) -> Course:
    relationship = uuid5(NAMESPACE, f"relationship {index}")
    falls = index % 2 == 0
    starts = [until - timedelta(weeks=k, hours=3) for k in reversed(range(KNOWN + 1 if falls else 1))]
    sessions = [
        Session(uuid5(relationship, str(number)), number, start, client=_well(start + timedelta(hours=2)))
        for number, start in enumerate(starts)
    ]
    return Course(
        id=relationship,
        clinic_id=clinician.clinic_id,
        clinician_id=clinician.id,
        client_id=uuid5(relationship, "client"),
        case_code=f"PROBE-{index:04}",
        started_at=starts[0] - timedelta(days=1),
        aims=("coping",),
        cadence_days=7,
        sessions=tuple(sessions),
    )


def _well(at: datetime) -> Said:
    return Said(at, dict.fromkeys(ELEMENTS, 9), tension="none")


def last_answer(course: Course, now: datetime) -> Said:
    """What must be noticed."""
    if len(course.sessions) > 1:
        return Said(now, dict.fromkeys(ELEMENTS, 2))
    return Said(now, dict.fromkeys(ELEMENTS, 8), tension="yes", talked_about="not")


async def prepare(clinics: Clinics, course: Course) -> None:
    """All but the last answer."""
    *well, last = course.sessions
    await clinics.live_through(replace(course, sessions=(*well, replace(last, client=None))))


async def measure(clinics: Clinics, courses: Sequence[Course], now: datetime) -> tuple[list[float], list[str]]:
    """Seconds from each last answer's 2xx to its alert, in order; and what is to be said of those that never came."""
    room, took, lost = asyncio.Semaphore(AT_ONCE), list[float](), list[str]()

    async def one(course: Course) -> None:
        async with room:
            said = last_answer(course, now)
            await clinics.answer(course.sessions[-1].id, "client", said)
            acknowledged = time.perf_counter()
            clinics.ledger.said.setdefault(course.id, {})[course.sessions[-1].id, "client"] = said.score
            clinics.ledger.silent.get(course.id, {}).pop(course.sessions[-1].id, None)
            while time.perf_counter() - acknowledged < 30:
                inbox = await clinics.get("notify", f"/clinicians/{course.clinician_id}/inbox")
                if any(alert["relationship_id"] == str(course.id) for alert in inbox["alerts"]):
                    took.append(time.perf_counter() - acknowledged)
                    return
                await asyncio.sleep(LOOK_EVERY)
            lost.append(f"no alert within 30 s about {course.id}")

    async with asyncio.TaskGroup() as all_of_them:
        for course in courses:
            all_of_them.create_task(one(course))
    return sorted(took), lost
