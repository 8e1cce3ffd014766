"""Those who send requests in tests: people with a login session, and systems of clinics with a token of the issuer.

How people sign in and how systems get their tokens has tests of its own; here only the login itself is skipped.
"""

from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

from shared.access.clinic_id import ClinicId
from shared.access.roles import Scope
from shared.events import StaffEvent, StaffUpdated
from shared.events.staff import AssignedRole
from shared.identity.login_sessions import LoginSessions
from shared.identity.machines import Machines
from shared.identity.records import BoundPerson
from shared.mongo.client import Mongo
from shared.runtime.clock import now
from shared.staff.cache import CachedStaff
from shared.staff.handlers import handle_staff_events
from shared.staff.store import MongoStaffStore
from tests.support.sign_in import machine_token
from tools.sandbox.network.auth import MachineAuth, PersonAuth
from tools.sandbox.network.credentials import ALL_SCOPES
from tools.sandbox.network.identity import LIMITS, open_identity
from tools.sandbox.servers.issuer import LocalIssuer

PUBLIC_URL = "http://localhost:8000"


class Actors:
    """Lets people and systems of any clinic into the services that use one identity database."""

    def __init__(self, issuer: LocalIssuer, mongodb_uri: str, identity_database: str) -> None:
        self._issuer = issuer
        self._mongodb_uri = mongodb_uri
        self._identity_database = identity_database

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of a service that lets these actors in."""
        environment = {name.lower(): value for name, value in self._issuer.service_settings.items()}
        return {**environment, "identity_database": self._identity_database, "public_url": PUBLIC_URL}

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables."""
        return {name.upper(): str(value) for name, value in self.settings.items()}

    async def machine(self, clinic_id: UUID, scopes: Collection[Scope] = ALL_SCOPES) -> MachineAuth:
        """A new system of the clinic."""
        machine_id = uuid4()
        client = self._issuer.add_machine(f"clinic-{machine_id}")
        async with open_identity(self._mongodb_uri, self._identity_database) as store:
            machines = Machines(store, self._issuer.url, now)
            await machines.save(ClinicId(clinic_id), machine_id, client.client_id, scopes)
        return MachineAuth(await machine_token(self._issuer, client))

    async def person(self, clinic_id: UUID, person_id: UUID | None = None) -> PersonAuth:
        """A person who has just signed in. Which roles the person has is decided by the staff that a service knows."""
        person = BoundPerson(
            person_id=person_id or uuid4(),
            clinic_id=ClinicId(clinic_id),
            issuer=self._issuer.url,
            subject=str(uuid4()),
        )
        async with open_identity(self._mongodb_uri, self._identity_database) as store:
            await store.bind_person(person)
            cookie = await LoginSessions(store, LIMITS, now).start(person, "test")
        return PersonAuth(person.person_id, clinic_id, cookie)


def employment(person: PersonAuth, *roles: AssignedRole, clinician_id: UUID | None = None) -> StaffUpdated:
    """The event that a person works at the clinic in these roles, and perhaps is a clinician."""
    return StaffUpdated(
        id=uuid4(),
        occurred_at=now(),
        clinic_id=person.clinic_id,
        person_id=person.person_id,
        roles=roles,
        clinician_id=clinician_id,
    )


async def record_staff(mongodb_uri: str, database: str, *events: StaffEvent) -> None:
    """Let a service know of its staff what these events say.

    A process that has read the staff of the clinic before may notice it a few seconds later.
    """
    mongo = Mongo(mongodb_uri, database, "motor")
    try:
        store = MongoStaffStore(mongo)
        await handle_staff_events(events, store, CachedStaff(store))
    finally:
        await mongo.close()
