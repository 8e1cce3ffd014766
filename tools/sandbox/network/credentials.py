"""Who sends the requests of the simulated network, and how each of them is let in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Protocol, get_args
from uuid import UUID, uuid5

import httpx2

from shared.access.clinic_id import ClinicId
from shared.access.roles import Scope
from shared.identity.login_sessions import LoginLimits, LoginSessions
from shared.identity.machines import Machines
from shared.identity.people import People
from shared.identity.records import BoundPerson
from shared.identity.store.mongo import MongoIdentityStore
from shared.mongo.client import Mongo
from shared.runtime.clock import now
from tools.sandbox.network.auth import PersonAuth, RenewedMachineAuth, RenewedPersonAuth
from tools.sandbox.network.course import Clinic, Clinician
from tools.sandbox.network.sign_in import MachineTokens
from tools.sandbox.network.staff import ClinicRole, StaffMember, clinic_staff, clinician_as_staff
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Account
from tools.sandbox.servers.stack import RunningStack

ALL_SCOPES: tuple[Scope, ...] = get_args(Scope)
IDENTITY_DATABASE = "attune_identity"
LIMITS = LoginLimits(idle=timedelta(minutes=30), longest=timedelta(hours=12))
"""Both are the defaults of the services."""


class Credentials(Protocol):
    """Those who can send requests. Before they can, their clinic or clinician is added."""

    async def add_clinic(self, clinic: Clinic) -> None:
        """Let in the clinic's system, and the people who are no clinicians."""

    async def add_clinician(self, clinician: Clinician) -> None:
        """Let in a clinician."""

    def machine(self, clinic_id: UUID) -> httpx2.Auth:
        """The clinic's system, which may do all that systems can do."""

    def clinician(self, clinician_id: UUID) -> httpx2.Auth:
        """A clinician."""

    def person(self, clinic_id: UUID, role: ClinicRole) -> httpx2.Auth:
        """The person of a clinic who has this role."""


class NoCredentials:
    """Requests of which nobody can know who sent them."""

    async def add_clinic(self, clinic: Clinic) -> None:
        """There is nobody to let in."""

    async def add_clinician(self, clinician: Clinician) -> None:
        """There is nobody to let in."""

    def machine(self, clinic_id: UUID) -> httpx2.Auth:
        """Somebody."""
        return httpx2.Auth()

    def clinician(self, clinician_id: UUID) -> httpx2.Auth:
        """Somebody."""
        return httpx2.Auth()

    def person(self, clinic_id: UUID, role: ClinicRole) -> httpx2.Auth:
        """Somebody."""
        return httpx2.Auth()


class StoredCredentials:
    """Systems and people that are written into the identity database, as if they had been invited and had signed in."""

    def __init__(self, issuer: LocalIssuer, mongodb_uri: str, identity_database: str) -> None:
        self._issuer = issuer
        self._mongodb_uri = mongodb_uri
        self._identity_database = identity_database
        self._tokens = MachineTokens(issuer.token_url)
        self._machines: dict[UUID, httpx2.Auth] = {}
        """By clinic."""
        self._clinicians: dict[UUID, httpx2.Auth] = {}
        self._people: dict[tuple[UUID, str], httpx2.Auth] = {}
        """By clinic and role."""

    async def add_clinic(self, clinic: Clinic) -> None:
        """Let in the clinic's system, and the people who are no clinicians."""
        client = self._issuer.add_machine(f"clinic-{clinic.id}")
        async with open_identity(self._mongodb_uri, self._identity_database) as store:
            machines = Machines(store, self._issuer.url, now)
            await machines.save(ClinicId(clinic.id), uuid5(clinic.id, "system"), client.client_id, ALL_SCOPES)
        self._machines[clinic.id] = RenewedMachineAuth(self._tokens, client)
        for member in clinic_staff(clinic):
            self._people[clinic.id, member.role] = await self._add_person(member)

    async def add_clinician(self, clinician: Clinician) -> None:
        """Let in a clinician."""
        self._clinicians[clinician.id] = await self._add_person(clinician_as_staff(clinician))

    def machine(self, clinic_id: UUID) -> httpx2.Auth:
        """The clinic's system, which may do all that systems can do."""
        return self._machines[clinic_id]

    def clinician(self, clinician_id: UUID) -> httpx2.Auth:
        """A clinician."""
        return self._clinicians[clinician_id]

    def person(self, clinic_id: UUID, role: ClinicRole) -> httpx2.Auth:
        """The person of a clinic who has this role."""
        return self._people[clinic_id, role]

    async def _add_person(self, member: StaffMember) -> httpx2.Auth:
        self._issuer.add_account(Account(member.subject, member.name, member.email, member.duty))
        async with open_identity(self._mongodb_uri, self._identity_database) as store:
            await People(store, LoginSessions(store, LIMITS, now)).bind(self._bound_person(member))
        auth = RenewedPersonAuth(partial(self._sign_in, member))
        await auth.renew()
        return auth

    async def _sign_in(self, member: StaffMember) -> PersonAuth:
        async with open_identity(self._mongodb_uri, self._identity_database) as store:
            cookie = await LoginSessions(store, LIMITS, now).start(self._bound_person(member), "")
        return PersonAuth(member.person_id, member.clinic_id, cookie)

    def _bound_person(self, member: StaffMember) -> BoundPerson:
        return BoundPerson(
            person_id=member.person_id,
            clinic_id=ClinicId(member.clinic_id),
            issuer=self._issuer.url,
            subject=member.subject,
        )


def credentials_for(attune: RunningStack) -> Credentials:
    """The credentials for a stack; none if its issuer was not started here."""
    if attune.issuer is None:
        return NoCredentials()
    return StoredCredentials(attune.issuer, attune.mongodb_uri, IDENTITY_DATABASE)


@asynccontextmanager
async def open_identity(mongodb_uri: str, database: str) -> AsyncIterator[MongoIdentityStore]:
    """The identity database."""
    mongo = Mongo(mongodb_uri, database, "motor")
    try:
        yield MongoIdentityStore(mongo)
    finally:
        await mongo.close()
