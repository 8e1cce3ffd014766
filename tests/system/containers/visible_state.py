"""Reads what people see, so that it can be compared, and measures how long new feedback takes to raise an alert."""

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from tests.system.smoke.probes import create_probes, final_answer
from tools.sandbox.network.clinic_systems import ClinicSystems
from tools.sandbox.network.course import Clinic, Clinician
from tools.sandbox.servers.inspection import wait_until

ALERT_TIMEOUT_SECONDS = 60.0


async def read_visible_state(clinic_systems: ClinicSystems, clinicians: Iterable[UUID]) -> dict[str, str]:
    """Every inbox, and the score and the trajectory of every acknowledged relationship, as they are shown."""
    visible = dict[str, str]()
    for clinician in sorted(clinicians):
        path = f"/clinicians/{clinician}/inbox"
        auth = clinic_systems.credentials.clinician(clinician)
        visible[path] = json.dumps(await clinic_systems.get("notify", path, auth), sort_keys=True)
    for relationship, clinic in sorted(clinic_systems.ledger.started_relationships.items()):
        system = clinic_systems.credentials.machine(clinic)
        for path in (f"/relationships/{relationship}", f"/relationships/{relationship}/trajectory"):
            visible[path] = json.dumps(await clinic_systems.get("alliance", path, system), sort_keys=True)
    return visible


async def measure_alert_seconds(clinic_systems: ClinicSystems) -> float:
    """Seconds from the first request about a new relationship to its alert. Raises TimeoutError and RequestFailed."""
    started_at, now = time.monotonic(), datetime.now(UTC)
    clinic = Clinic(uuid4(), "Elm Street", "Europe/Berlin")
    course = create_probes(clinic, now)[1][1]  # its client reports a tension directly
    clinician = Clinician(uuid4(), clinic.id, "new", None, has_webhook=False)
    (session,) = course.sessions
    course = replace(
        course,
        id=uuid4(),
        client_id=uuid4(),
        clinician_id=clinician.id,
        case_code=f"NEW-{uuid4().int % 100_000:05}",
        sessions=(replace(session, id=uuid4(), client=final_answer(course, now)),),
    )
    await clinic_systems.register_clinic(clinic)
    await clinic_systems.register_clinician(clinician, clinic.time_zone, "")
    await clinic_systems.start_relationship(course)
    await clinic_systems.submit_sessions(course)

    async def is_alert_visible() -> bool:
        return bool(await clinic_systems.read_inbox(clinician.id))

    if not await wait_until(is_alert_visible, ALERT_TIMEOUT_SECONDS):
        raise TimeoutError(f"no alert for relationship {course.id} within {ALERT_TIMEOUT_SECONDS:.0f} s")
    return time.monotonic() - started_at
