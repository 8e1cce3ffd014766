"""Those who send requests in tests: people with a login session, and systems of clinics with a token of the issuer.

How people sign in and how systems get their tokens has tests of its own; here only the login itself is skipped.
"""

from collections.abc import AsyncIterator, Collection, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, get_args
from uuid import UUID, uuid4

import httpx2

from shared.access.clinic_id import ClinicId
from shared.access.roles import Scope
from shared.events import StaffEvent, StaffUpdated
from shared.events.staff import AssignedRole
from shared.identity.cookies import LOGIN_COOKIE
from shared.identity.form_tokens import HEADER, create_form_token
from shared.identity.login_sessions import LoginLimits, LoginSessions
from shared.identity.machines import Machines
from shared.identity.records import BoundPerson
from shared.identity.request_origin import SAFE_METHODS
from shared.identity.store.mongo import MongoIdentityStore
from shared.mongo.client import Mongo
from shared.runtime.clock import now
from shared.staff.cache import CachedStaff
from shared.staff.handlers import handle_staff_events
from shared.staff.store import MongoStaffStore
from tests.support.sign_in import machine_token
from tools.sandbox.servers.issuer import LocalIssuer

ALL_SCOPES: tuple[Scope, ...] = get_args(Scope)
PUBLIC_URL = "http://localhost:8000"
LIMITS = LoginLimits(idle=timedelta(minutes=30), longest=timedelta(hours=12))


@dataclass(frozen=True)
class MachineAuth(httpx2.Auth):
    """Sends requests as a clinic's system."""

    token: str

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


@dataclass(frozen=True)
class PersonAuth(httpx2.Auth):
    """Sends requests as a browser does in which a person has signed in, from a page of ours."""

    person_id: UUID
    clinic_id: UUID
    cookie: str

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Cookie"] = f"{LOGIN_COOKIE}={self.cookie}"
        if request.method not in SAFE_METHODS:
            request.headers.setdefault("Origin", PUBLIC_URL)
            request.headers.setdefault(HEADER, create_form_token(self.cookie))
        yield request


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


@asynccontextmanager
async def open_identity(mongodb_uri: str, database: str) -> AsyncIterator[MongoIdentityStore]:
    """The identity database."""
    mongo = Mongo(mongodb_uri, database, "motor")
    try:
        yield MongoIdentityStore(mongo)
    finally:
        await mongo.close()


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
