"""A clinic with one person of each kind, and targets named by what the one who asks is to them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from shared.access.clinic_id import ClinicId
from shared.access.roles import Role
from shared.access.target import Target
from tests.support.access import FakeStaff

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
CLINIC, OTHER_CLINIC = ClinicId(uuid4()), ClinicId(uuid4())
ME = uuid4()
MY_CLINICIAN, DEPUTIZED, SUPERVISED, COLLEAGUE = (uuid4() for _ in range(4))
ONCE_DEPUTIZED, SOON_DEPUTIZED, ONCE_SUPERVISED, LEFT, LEFT_COLLEAGUE = (uuid4() for _ in range(5))


def relationship(
    clinician_id: UUID | None, days_since_end: float | None = None, *, is_escalated: bool = False
) -> Target:
    ended_at = None if days_since_end is None else NOW - days_since_end * DAY
    return Target(CLINIC, clinician_id, ended_at, is_escalated)


TARGETS: Mapping[str, Target] = {
    "mine": relationship(MY_CLINICIAN),
    "mine, ended 30 days ago": relationship(MY_CLINICIAN, days_since_end=30),
    "mine, ended longer ago": relationship(MY_CLINICIAN, days_since_end=30.0001),
    "of whom I deputize": relationship(DEPUTIZED),
    "of whom I deputize, ended 30 days ago": relationship(DEPUTIZED, days_since_end=30),
    "of whom I deputize, ended longer ago": relationship(DEPUTIZED, days_since_end=30.0001),
    "of whom I no longer deputize": relationship(ONCE_DEPUTIZED),
    "of whom I do not deputize yet": relationship(SOON_DEPUTIZED),
    "of whom I supervise": relationship(SUPERVISED),
    "of whom I supervise, ended long ago": relationship(SUPERVISED, days_since_end=1000),
    "of whom I supervise, escalated": relationship(SUPERVISED, is_escalated=True),
    "of whom I supervise, who has left": relationship(LEFT),
    "of whom I no longer supervise": relationship(ONCE_SUPERVISED),
    "of a colleague": relationship(COLLEAGUE),
    "of a colleague, escalated": relationship(COLLEAGUE, is_escalated=True),
    "of a colleague who has left": relationship(LEFT_COLLEAGUE),
    "of an unknown clinician": relationship(None),
    "my record": Target(CLINIC, person_id=ME),
    "a colleague's record": Target(CLINIC, person_id=uuid4()),
    "mine, in another clinic": Target(OTHER_CLINIC, MY_CLINICIAN),
    "of whom I supervise, escalated, in another clinic": Target(OTHER_CLINIC, SUPERVISED, is_escalated=True),
    "my record, in another clinic": Target(OTHER_CLINIC, person_id=ME),
}


def staff(*roles: Role, is_lead: bool = False) -> FakeStaff:
    """A clinic in which I have these roles. Every assignment that a role could need is there."""
    return FakeStaff(
        roles={ME: frozenset(roles)},
        clinicians={ME: MY_CLINICIAN},
        deputies={
            (ME, DEPUTIZED): (NOW - DAY, NOW + DAY),
            (ME, ONCE_DEPUTIZED): (NOW - 2 * DAY, NOW),
            (ME, SOON_DEPUTIZED): (NOW + DAY, NOW + 2 * DAY),
        },
        supervisors={
            (ME, SUPERVISED): (NOW - DAY, NOW + DAY),
            (ME, LEFT): (NOW - DAY, NOW + DAY),
            (ME, ONCE_SUPERVISED): (NOW - 2 * DAY, NOW - DAY),
        },
        lead=ME if is_lead else None,
        left=frozenset({LEFT, LEFT_COLLEAGUE}),
    )
