"""What people see, so that it can be compared, and whether what they tell still leads to an alert."""

import json
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

from tests.system.smoke.probes import last_answer, probes
from tools.sandbox.network.clinic_systems import Clinics
from tools.sandbox.network.course import Clinic, Clinician
from tools.sandbox.servers.inspection import until

WITHIN = 60.0  # seconds


async def all_that_is_seen(clinics: Clinics, clinicians: Iterable[UUID]) -> dict[str, str]:
    """Every inbox, and the score and the trajectory of every relationship that was told of, as they are shown."""
    visible = dict[str, str]()
    for clinician in sorted(clinicians):
        path = f"/clinicians/{clinician}/inbox"
        visible[path] = json.dumps(await clinics.get("notify", path), sort_keys=True)
    for relationship in sorted(clinics.ledger.started):
        for path in (f"/relationships/{relationship}", f"/relationships/{relationship}/trajectory"):
            visible[path] = json.dumps(await clinics.get("alliance", path), sort_keys=True)
    return visible


async def told_now(clinics: Clinics) -> float:
    """Seconds from the first word about somebody new to the alert in the inbox. Raises TimeoutError, NotTaken."""
    started_at, now = time.monotonic(), datetime.now(UTC)
    clinic = Clinic(uuid4(), "Elm Street", "Europe/Berlin")
    course = probes(clinic, now)[1][1]  # one who says outright that there was a tension
    clinician = Clinician(uuid4(), clinic.id, "new", None, webhook=False)
    (session,) = course.sessions
    course = replace(
        course,
        id=uuid4(),
        client_id=uuid4(),
        clinician_id=clinician.id,
        case_code=f"NEW-{uuid4().hex[:6].upper()}",
        sessions=(replace(session, id=uuid4(), client=last_answer(course, now)),),
    )
    await clinics.open_clinic(clinic)
    await clinics.employ(clinician, clinic.time_zone, "")
    await clinics.begin(course)
    await clinics.go_on(course)

    async def shown() -> bool:
        return bool((await clinics.get("notify", f"/clinicians/{clinician.id}/inbox"))["alerts"])

    if not await until(shown, WITHIN):
        raise TimeoutError(f"no alert about {course.id} within {WITHIN:.0f} s")
    return time.monotonic() - started_at
