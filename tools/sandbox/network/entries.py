"""How the people of the simulated network get in: with a browser, or directly through the database."""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import httpx2

from shared.access.clinic_id import ClinicId
from shared.identity.cookies import LOGIN_COOKIE
from shared.identity.login_sessions import LoginSessions
from shared.identity.people import People
from shared.identity.records import BoundPerson
from shared.runtime.backoff import backoff
from shared.runtime.clock import now
from tools.sandbox.network.auth import PersonAuth
from tools.sandbox.network.credentials import Credentials, Entry, Invite, NetworkCredentials, NoCredentials
from tools.sandbox.network.identity import IDENTITY_DATABASE, LIMITS, open_identity
from tools.sandbox.network.sign_in import BrowserTransport, SignInFailed, accept_invitation, browser, sign_in
from tools.sandbox.network.staff import StaffMember
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.process import LocalServer, RunError
from tools.sandbox.servers.stack import RunningStack

NOT_FOUND, SEE_OTHER = 404, 303
READY_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True)
class BrowserEntry:
    """People follow their invitations, and sign in at the issuer, as a clinic's people do."""

    front_door_url: str
    intake_command: Sequence[str | Path]
    """Starts a process of intake, or runs the command that is appended."""

    async def invite_administrator(self, clinic_id: UUID) -> str:
        """A link for the first administrator of a clinic. Raises RunError."""
        command = [*self.intake_command, "invite-administrator", str(clinic_id)]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await process.communicate()
        if process.returncode:
            raise RunError(f"No administrator of clinic {clinic_id} was invited: {errors.decode().strip()[-500:]}")
        return output.decode().strip()

    async def enter(self, member: StaffMember, invite: Invite) -> PersonAuth:
        """Sign in a person, who is invited first if Attune does not know the account. Raises SignInFailed."""
        try:
            return await self.sign_in(member)
        except SignInFailed:
            link = await invite()
        transport = BrowserTransport()
        async with browser(transport=transport) as http:
            await accept_invitation(http, link, member.account)
        return _signed_in(member, transport)

    async def sign_in(self, member: StaffMember) -> PersonAuth:
        """Sign in a person whose account is known. Raises SignInFailed."""
        transport = BrowserTransport()
        async with browser(transport=transport) as http:
            await sign_in(http, self.front_door_url, member.account)
        return _signed_in(member, transport)


def _signed_in(member: StaffMember, transport: BrowserTransport) -> PersonAuth:
    cookie = transport.cookies.get(LOGIN_COOKIE)
    if cookie is None:
        raise SignInFailed(f"the sign-in of {member.account.subject} ended without a login session")
    return PersonAuth(member.person_id, member.clinic_id, cookie)


@dataclass(frozen=True)
class DirectEntry:
    """People are written into the identity database, as if they had been invited and had signed in."""

    issuer_url: str
    mongodb_uri: str
    identity_database: str = IDENTITY_DATABASE

    async def invite_administrator(self, clinic_id: UUID) -> str:
        """Nobody needs an invitation."""
        return ""

    async def enter(self, member: StaffMember, invite: Invite) -> PersonAuth:
        """Bind the account to the person. Nobody is invited."""
        async with open_identity(self.mongodb_uri, self.identity_database) as store:
            await People(store, LoginSessions(store, LIMITS, now)).bind(self._bound_person(member))
        return await self.sign_in(member)

    async def sign_in(self, member: StaffMember) -> PersonAuth:
        """Start a login session."""
        async with open_identity(self.mongodb_uri, self.identity_database) as store:
            cookie = await LoginSessions(store, LIMITS, now).start(self._bound_person(member), "")
        return PersonAuth(member.person_id, member.clinic_id, cookie)

    def _bound_person(self, member: StaffMember) -> BoundPerson:
        return BoundPerson(
            person_id=member.person_id,
            clinic_id=ClinicId(member.clinic_id),
            issuer=self.issuer_url,
            subject=member.account.subject,
        )


@dataclass
class EntryOfVersion:
    """With a browser, if this version of intake lets people sign in; otherwise directly."""

    browser_entry: BrowserEntry
    direct_entry: DirectEntry
    _entry: Entry | None = field(default=None, init=False)

    async def invite_administrator(self, clinic_id: UUID) -> str:
        """A link for the first administrator of a clinic. Raises RunError."""
        return await (await self._find()).invite_administrator(clinic_id)

    async def enter(self, member: StaffMember, invite: Invite) -> PersonAuth:
        """Sign in a person, who is invited first if Attune does not know the account. Raises SignInFailed."""
        return await (await self._find()).enter(member, invite)

    async def sign_in(self, member: StaffMember) -> PersonAuth:
        """Sign in a person whose account is known. Raises SignInFailed."""
        return await (await self._find()).sign_in(member)

    async def _find(self) -> Entry:
        if self._entry is None:
            serves_sign_in = await _serves_sign_in(self.browser_entry.front_door_url)
            self._entry = self.browser_entry if serves_sign_in else self.direct_entry
        return self._entry


async def _serves_sign_in(front_door_url: str) -> bool:
    """Whether people can sign in there, once it is ready. Raises RunError."""
    deadline = time.monotonic() + READY_TIMEOUT_SECONDS
    async with httpx2.AsyncClient() as http:
        for wait_seconds in backoff(max_delay_seconds=1.0):
            with suppress(httpx2.TransportError):
                response = await http.get(f"{front_door_url}/sign-in")
                if response.status_code in (SEE_OTHER, NOT_FOUND):
                    return response.status_code == SEE_OTHER
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(wait_seconds)
    raise RunError(f"Nobody can sign in at {front_door_url}.")


def credentials_of(issuer: LocalIssuer, mongodb_uri: str, front_door_url: str, intake: LocalServer) -> Credentials:
    """The credentials for services that trust `issuer`."""
    entry = EntryOfVersion(BrowserEntry(front_door_url, intake.command), DirectEntry(issuer.url, mongodb_uri))
    return NetworkCredentials(issuer, entry, mongodb_uri, IDENTITY_DATABASE)


def credentials_for(attune: RunningStack) -> Credentials:
    """The credentials for a stack; none if its issuer was not started here."""
    if attune.issuer is None or attune.front_door is None:
        return NoCredentials()
    intake = next(service for service in attune.services if service.name == "intake")
    return credentials_of(attune.issuer, attune.mongodb_uri, attune.front_door.url, intake)
