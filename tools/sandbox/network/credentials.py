"""Who sends the requests of the simulated network, and how each of them is let in."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Protocol, get_args
from uuid import UUID, uuid5

import httpx2

from shared.access.clinic_id import ClinicId
from shared.access.roles import Scope
from shared.identity.machines import Machines
from shared.runtime.clock import now
from tools.sandbox.network.auth import PersonAuth, RenewedMachineAuth, RenewedPersonAuth
from tools.sandbox.network.course import Clinic
from tools.sandbox.network.identity import open_identity
from tools.sandbox.network.sign_in import MachineTokens
from tools.sandbox.network.staff import ClinicRole, StaffMember
from tools.sandbox.servers.issuer import LocalIssuer

ALL_SCOPES: tuple[Scope, ...] = get_args(Scope)
Invite = Callable[[], Awaitable[str]]
"""Invites somebody and returns the link. Raises RequestFailed and RunError."""


class Credentials(Protocol):
    """Those who can send requests, once they were let in."""

    async def let_in_machine(self, clinic: Clinic) -> None:
        """Let in the clinic's system."""

    async def let_in_administrator(self, member: StaffMember) -> None:
        """Let in the first person of a clinic, whom nobody there can invite."""

    async def let_in(self, member: StaffMember, invite: Invite) -> None:
        """Let in a person whom the administrator can invite."""

    def machine(self, clinic_id: UUID) -> httpx2.Auth | None:
        """The clinic's system, which may do all that systems can do."""

    def clinician(self, clinician_id: UUID) -> httpx2.Auth | None:
        """A clinician."""

    def person(self, clinic_id: UUID, role: ClinicRole) -> httpx2.Auth | None:
        """The person of a clinic who has this role."""


class NoCredentials:
    """Requests of which nobody can know who sent them."""

    async def let_in_machine(self, clinic: Clinic) -> None:
        """There is nobody to let in."""

    async def let_in_administrator(self, member: StaffMember) -> None:
        """There is nobody to let in."""

    async def let_in(self, member: StaffMember, invite: Invite) -> None:
        """There is nobody to let in."""

    def machine(self, clinic_id: UUID) -> None:
        """Somebody."""

    def clinician(self, clinician_id: UUID) -> None:
        """Somebody."""

    def person(self, clinic_id: UUID, role: ClinicRole) -> None:
        """Somebody."""


class Entry(Protocol):
    """How people get in."""

    async def invite_administrator(self, clinic_id: UUID) -> str:
        """A link for the first administrator of a clinic. Raises RunError."""

    async def enter(self, member: StaffMember, invite: Invite) -> PersonAuth:
        """Sign in a person, who is invited first if Attune does not know the account. Raises SignInFailed."""

    async def sign_in(self, member: StaffMember) -> PersonAuth:
        """Sign in a person whose account is known. Raises SignInFailed."""


class NetworkCredentials:
    """Systems with tokens of the issuer, and people who sign in when they are let in, and again when it is over."""

    def __init__(self, issuer: LocalIssuer, entry: Entry, mongodb_uri: str, identity_database: str) -> None:
        self._issuer = issuer
        self._entry = entry
        self._mongodb_uri = mongodb_uri
        self._identity_database = identity_database
        self._tokens = MachineTokens(issuer.token_url)
        self._machines: dict[UUID, httpx2.Auth] = {}
        """By clinic."""
        self._clinicians: dict[UUID, httpx2.Auth] = {}
        self._people: dict[tuple[UUID, str], httpx2.Auth] = {}
        """By clinic and role."""

    async def let_in_machine(self, clinic: Clinic) -> None:
        """Let in the clinic's system."""
        client = self._issuer.add_machine(f"clinic-{clinic.id}")
        async with open_identity(self._mongodb_uri, self._identity_database) as store:
            machines = Machines(store, self._issuer.url, now)
            await machines.save(ClinicId(clinic.id), uuid5(clinic.id, "system"), client.client_id, ALL_SCOPES)
        self._machines[clinic.id] = RenewedMachineAuth(self._tokens, client)

    async def let_in_administrator(self, member: StaffMember) -> None:
        """Let in the first person of a clinic, whom nobody there can invite."""
        await self.let_in(member, partial(self._entry.invite_administrator, member.clinic_id))

    async def let_in(self, member: StaffMember, invite: Invite) -> None:
        """Let in a person whom the administrator can invite."""
        self._issuer.add_account(member.account)
        first = await self._entry.enter(member, invite)
        auth = RenewedPersonAuth(partial(self._entry.sign_in, member), first)
        if member.clinician_id is None:
            self._people[member.clinic_id, member.role] = auth
        else:
            self._clinicians[member.clinician_id] = auth

    def machine(self, clinic_id: UUID) -> httpx2.Auth:
        """The clinic's system, which may do all that systems can do."""
        return self._machines[clinic_id]

    def clinician(self, clinician_id: UUID) -> httpx2.Auth:
        """A clinician."""
        return self._clinicians[clinician_id]

    def person(self, clinic_id: UUID, role: ClinicRole) -> httpx2.Auth:
        """The person of a clinic who has this role."""
        return self._people[clinic_id, role]
