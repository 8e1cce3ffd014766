"""Relationships whose course is written down, each for one thing that must be left over at the end."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from deploy.simulation.clinic import Clinics
from deploy.simulation.course import ELEMENTS, Clinic, Clinician, Course, Said, Session

NAMESPACE = UUID("6d3c1a52-1f0c-4f4e-9a54-5a1f6f0f7c21")
WELL, FALLEN = 9, 2
SESSIONS = 5

CHANNELS: Mapping[str, tuple[bool, bool]] = {
    "refused": (False, True),
    "failed": (True, False),
    "leased": (True, False),
    "retried": (False, True),
    "untried": (False, False),
    "alliance-event": (True, True),
    "feedback": (True, True),
    "consent": (True, False),
    "outbox": (False, True),
    "acknowledged": (True, False),
    "resolved": (True, False),
    "lapsing": (False, False),
}
"""By script, whether its clinician has e-mail and a webhook.

refused: the webhook is gone. failed: the mail server is away for too long. leased: a process is killed while it sends
a message. retried: a message waits for its retry. untried: a message that was not tried yet. alliance-event: alliance
has published a rupture, and notify has not consumed it. feedback: alliance has not consumed the client's answer.
consent: alliance has not consumed that consent is withdrawn. outbox: the client's answer is still in the outbox.
acknowledged, resolved: the clinician's disposition is still in the outbox. lapsing: the deadline of a form is near.
"""


@dataclass(frozen=True)
class Script:
    """A relationship that goes well until its last session, whose form the client has not answered yet."""

    course: Course
    clinician: Clinician

    @property
    def last(self) -> Session:
        return self.course.sessions[-1]


def scripts(clinic: Clinic, until: datetime) -> dict[str, Script]:
    """All of them, by name."""
    return {name: _script(name, number, clinic, until) for number, name in enumerate(CHANNELS)}


def _script(name: str, number: int, clinic: Clinic, until: datetime) -> Script:
    email, webhook = CHANNELS[name]
    address = f"{name}@example.org" if email else None
    clinician = Clinician(uuid5(NAMESPACE, f"clinician {name}"), clinic.id, name, address, webhook=webhook)
    relationship = uuid5(NAMESPACE, f"relationship {name}")
    starts = [until - timedelta(weeks=k, hours=3) for k in reversed(range(SESSIONS))]
    sessions = [
        Session(
            uuid5(relationship, str(place)),
            place,
            start,
            client=_said(start + timedelta(hours=2), WELL),
            clinician=_said(start + timedelta(hours=2), WELL),
        )
        for place, start in enumerate(starts)
    ]
    course = Course(
        id=relationship,
        clinic_id=clinic.id,
        clinician_id=clinician.id,
        client_id=uuid5(relationship, "client"),
        case_code=f"SCRIPT-{number:02}",
        started_at=starts[0] - timedelta(days=1),
        aims=("coping",),
        cadence_days=7,
        sessions=(*sessions[:-1], replace(sessions[-1], client=None, clinician=None)),
    )
    return Script(course, clinician)


def _said(at: datetime, rating: int) -> Said:
    return Said(at, dict.fromkeys(ELEMENTS, rating), tension="none")


def at_the_end(name: str, script: Script) -> Clinician:
    """The clinician with the channels as they are in the end: the one of the untried message gets a webhook."""
    return replace(script.clinician, webhook=True) if name == "untried" else script.clinician


async def fall(clinics: Clinics, script: Script, now: datetime) -> None:
    """The client says that the last session went badly: a sign of rupture."""
    await clinics.answer(script.last.id, "client", _said(now, FALLEN))
