"""The people of the simulated network follow invitations, sign in, and sign in again, with Attune's own sign-in."""

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from uuid import uuid4

import httpx2
import pytest
from fastapi import FastAPI, Request

from shared.access.roles import Role
from shared.identity.authentication import Authentication
from shared.identity.http.answers import add_identity_handlers
from shared.identity.http.routes import routes
from shared.identity.issuer import Issuer
from shared.identity.login_sessions import LoginSessions
from shared.identity.machines import Machines
from shared.identity.principal import Machine, Person
from shared.identity.settings import IdentitySettings
from shared.identity.sign_in import SignIn
from shared.identity.store.memory import InMemoryIdentityStore
from shared.runtime.clock import now
from tests.support.identity_builders import CLINIC
from tests.support.serving import run_app
from tests.support.sign_in_world import FakeInvitations
from tools.sandbox.network.auth import RenewedMachineAuth, RenewedPersonAuth
from tools.sandbox.network.entries import BrowserEntry
from tools.sandbox.network.identity import LIMITS
from tools.sandbox.network.sign_in import MachineTokens, SignInFailed
from tools.sandbox.network.staff import StaffMember
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Account
from tools.sandbox.servers.process import RunError

pytestmark = pytest.mark.integration


@dataclass
class AttuneSignIn:
    """A service with Attune's sign-in and an identity database in memory; it answers who asks."""

    issuer: LocalIssuer
    url: str = ""
    store: InMemoryIdentityStore = field(default_factory=InMemoryIdentityStore)
    invitations: FakeInvitations = field(default_factory=FakeInvitations)
    invited: list[StaffMember] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.login_sessions = LoginSessions(self.store, LIMITS, now)
        self.machines = Machines(self.store, self.issuer.url, now)

    def add_routes(self, app: FastAPI) -> Issuer:
        """Serve the sign-in at the `url`."""
        settings = {name.lower(): value for name, value in self.issuer.service_settings.items()}
        issuer = Issuer(IdentitySettings.model_validate({**settings, "public_url": self.url}))
        authentication = Authentication(self.login_sessions, self.machines, issuer, self.url)
        sign_in = SignIn(issuer, self.store, self.login_sessions, self.invitations, now)
        app.include_router(routes(sign_in, self.login_sessions, authentication, _find_no_roles))

        @app.post("/who")
        async def who(request: Request) -> str:
            principal = await authentication.authenticate(request)
            return str(principal.machine_id if isinstance(principal, Machine) else principal.person_id)

        return issuer

    @property
    def entry(self) -> BrowserEntry:
        return BrowserEntry(self.url, ("echo", self.url))

    async def enter(self, member: StaffMember) -> RenewedPersonAuth:
        """Let somebody in, who is invited if necessary."""

        async def invite() -> str:
            self.invited.append(member)
            return f"{self.url}/invitations/{self.invitations.invite(member.person_id)}"

        self.issuer.add_account(member.account)
        entry = self.entry
        return RenewedPersonAuth(lambda: entry.sign_in(member), await entry.enter(member, invite))

    async def ask(self, auth: httpx2.Auth) -> str:
        """Whom the service takes the sender for."""
        async with httpx2.AsyncClient() as http:
            return str((await http.post(f"{self.url}/who", auth=auth)).raise_for_status().json())


async def _find_no_roles(_person: Person) -> Collection[Role]:
    return ()


@pytest.fixture
async def attune(issuer: LocalIssuer) -> AsyncIterator[AttuneSignIn]:
    app, started = FastAPI(), AttuneSignIn(issuer)
    add_identity_handlers(app)

    @app.get("/health/ready")
    async def ready() -> None:
        """It needs nothing."""

    async with run_app(app) as client:
        started.url = str(client.base_url).rstrip("/")
        issuer.add_front_door(started.url)
        speaker = started.add_routes(app)
        yield started
        await speaker.aclose()


@pytest.fixture
def member() -> StaffMember:
    account = Account(f"desk-{uuid4()}", "Ada Brook", "ada@clinic.example")
    return StaffMember(uuid4(), CLINIC, "desk", None, account)


async def test_a_person_who_is_not_known_yet_follows_an_invitation(attune: AttuneSignIn, member: StaffMember) -> None:
    auth = await attune.enter(member)

    assert await attune.ask(auth) == str(member.person_id)
    assert attune.invited == [member]


async def test_a_person_who_is_known_signs_in_without_an_invitation(attune: AttuneSignIn, member: StaffMember) -> None:
    await attune.enter(member)

    assert await attune.ask(await attune.enter(member)) == str(member.person_id)
    assert attune.invited == [member]


async def test_a_person_whose_login_session_has_ended_signs_in_again(attune: AttuneSignIn, member: StaffMember) -> None:
    auth = await attune.enter(member)
    await attune.login_sessions.end_all(member.person_id)

    assert await attune.ask(auth) == str(member.person_id)


async def test_an_invitation_that_is_over_lets_nobody_in(attune: AttuneSignIn, member: StaffMember) -> None:
    async def invite() -> str:
        return f"{attune.url}/invitations/used"

    attune.issuer.add_account(member.account)
    with pytest.raises(SignInFailed, match="led nowhere: 404"):
        await attune.entry.enter(member, invite)


async def test_a_machine_sends_a_token_of_the_issuer(attune: AttuneSignIn) -> None:
    machine_id = uuid4()
    client = attune.issuer.add_machine(f"clinic-{machine_id}")
    await attune.machines.save(CLINIC, machine_id, client.client_id, ["sessions"])

    auth = RenewedMachineAuth(MachineTokens(attune.issuer.token_url), client)

    assert await attune.ask(auth) == str(machine_id)


async def test_the_first_administrator_is_invited_by_a_command_of_intake(attune: AttuneSignIn) -> None:
    assert await attune.entry.invite_administrator(CLINIC) == f"{attune.url} invite-administrator {CLINIC}"

    with pytest.raises(RunError, match=f"No administrator of clinic {CLINIC} was invited"):
        await BrowserEntry(attune.url, ("false",)).invite_administrator(CLINIC)
