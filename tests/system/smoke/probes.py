"""Measures the time from the acknowledgement of an answer to the alert in the inbox."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import ELEMENTS, Clinic, Clinician, Course, Session, SimulatedAnswer

PROBE_COUNT = 120
MAX_CONCURRENT_PROBES = 4  # the load of a busy morning, not of a stress test
BASELINE_SESSIONS = 3  # sessions with high ratings, so that the drop stands out
ALERT_TIMEOUT_SECONDS = 30.0  # an alert that takes longer will not appear
NAMESPACE = UUID("b0a0a0ce-7c26-4f3c-8a56-0a8f5d4e9b77")


def create_probes(clinic: Clinic, until: datetime) -> tuple[list[Clinician], list[Course]]:
    """Relationships that go well until the last answer, with clinicians of their own.

    In one half the client's ratings drop far; in the other the client reports a tension directly.
    """
    clinicians = [
        Clinician(uuid5(NAMESPACE, f"clinician {index}"), clinic.id, f"probe-{index}", None, has_webhook=False)
        for index in range(6)
    ]
    return clinicians, [
        _create_probe(clinicians[index % len(clinicians)], index, until) for index in range(PROBE_COUNT)
    ]


def _create_probe(clinician: Clinician, index: int, until: datetime) -> Course:
    relationship = uuid5(NAMESPACE, f"relationship {index}")
    has_rating_drop = index % 2 == 0
    starts = [
        until - timedelta(weeks=weeks_ago, hours=3)
        for weeks_ago in reversed(range(BASELINE_SESSIONS + 1 if has_rating_drop else 1))
    ]
    sessions = [
        Session(uuid5(relationship, str(number)), number, start, client=_good_answer(start + timedelta(hours=2)))
        for number, start in enumerate(starts)
    ]
    return Course(
        id=relationship,
        clinic_id=clinician.clinic_id,
        clinician_id=clinician.id,
        client_id=uuid5(relationship, "client"),
        case_code=f"PR-{index:04}",
        started_at=starts[0] - timedelta(days=1),
        aims=("coping",),
        cadence_days=7,
        sessions=tuple(sessions),
    )


def _good_answer(at: datetime) -> SimulatedAnswer:
    return SimulatedAnswer(at, dict.fromkeys(ELEMENTS, 9), tension="none")


def final_answer(course: Course, now: datetime) -> SimulatedAnswer:
    """The last answer, which must raise an alert."""
    if len(course.sessions) > 1:
        return SimulatedAnswer(now, dict.fromkeys(ELEMENTS, 2))
    return SimulatedAnswer(now, dict.fromkeys(ELEMENTS, 8), tension="yes", talked_about="not")


async def submit_baseline(clinic_systems: ClinicSystems, course: Course) -> None:
    """Submit everything except the last answer."""
    *earlier, last = course.sessions
    await clinic_systems.submit_course(replace(course, sessions=(*earlier, replace(last, client=None))))


async def measure_latency(
    clinic_systems: ClinicSystems, courses: Sequence[Course], now: datetime
) -> tuple[list[float], list[str]]:
    """Seconds from the 2xx of each last answer until an open inbox shows its alert, and the alerts that are missing."""
    shown_at = {course.id: asyncio.Future[float]() for course in courses}
    inboxes = {course.clinician_id: asyncio.Event() for course in courses}
    watchers = [
        asyncio.create_task(_watch_inbox(clinic_systems, clinician, shown_at, is_open))
        for clinician, is_open in inboxes.items()
    ]
    async with asyncio.timeout(ALERT_TIMEOUT_SECONDS):
        await asyncio.gather(*(is_open.wait() for is_open in inboxes.values()))
    semaphore = asyncio.Semaphore(MAX_CONCURRENT_PROBES)

    async def measure_one(course: Course) -> float | None:
        async with semaphore:
            acknowledged_at = await _submit_final_answer(clinic_systems, course, final_answer(course, now))
            try:
                return max(0.0, await asyncio.wait_for(shown_at[course.id], ALERT_TIMEOUT_SECONDS) - acknowledged_at)
            except TimeoutError:
                return None

    latencies = await asyncio.gather(*map(measure_one, courses))
    for task in watchers:
        task.cancel()
    await asyncio.gather(*watchers, return_exceptions=True)
    missing = [f"{c.id} of {c.clinician_id}" for c, seconds in zip(courses, latencies, strict=True) if seconds is None]
    return sorted(seconds for seconds in latencies if seconds is not None), missing


async def _watch_inbox(
    clinic_systems: ClinicSystems,
    clinician: UUID,
    shown_at: Mapping[UUID, asyncio.Future[float]],
    is_open: asyncio.Event,
) -> None:
    """Keep an inbox open, and record when each relationship first appears in it."""
    path, auth = f"/clinicians/{clinician}/inbox/stream", clinic_systems.credentials.clinician(clinician)
    async for inbox in clinic_systems.stream_events("notify", path, auth):
        for alert in inbox["alerts"]:
            if not (first_shown := shown_at[UUID(alert["relationship_id"])]).done():
                first_shown.set_result(time.perf_counter())
        is_open.set()


async def _submit_final_answer(clinic_systems: ClinicSystems, course: Course, answer: SimulatedAnswer) -> float:
    """Submit the last answer; return when it was acknowledged, on the performance counter."""
    session = course.sessions[-1].id
    await clinic_systems.submit_paper_answer(course.clinic_id, session, "client", answer)
    acknowledged_at = time.perf_counter()
    clinic_systems.ledger.scores.setdefault(course.id, {})[session, "client"] = answer.score
    clinic_systems.ledger.unanswered_until[course.id].pop(session)
    return acknowledged_at
