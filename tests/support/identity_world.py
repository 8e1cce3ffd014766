"""Services that know people and machines, in memory, and share one database of identities."""

from datetime import datetime, timedelta

from shared.errors import StoreUnavailable
from shared.identity.authentication import Authentication, Unauthenticated
from shared.identity.errors import InvalidToken
from shared.identity.login_session import LoginSession
from shared.identity.login_sessions import LoginLimits, LoginSessions
from shared.identity.machines import Machines
from shared.identity.people import People
from shared.identity.store.memory import InMemoryIdentityStore
from shared.identity.tokens import MachineToken
from tests.support.browser_requests import make_request
from tests.support.identity_builders import ISSUER, NOW, Clock, make_person

PUBLIC_URL = "https://attune.example"
LIMITS = LoginLimits(idle=timedelta(minutes=30), longest=timedelta(hours=12))


class Tokens:
    """Tokens that are the client id; all others are rejected."""

    async def verify_machine_token(self, token: str) -> MachineToken:
        if not token.startswith("token-of-"):
            raise InvalidToken("its signature is wrong")
        return MachineToken(ISSUER, token.removeprefix("token-of-"), NOW + timedelta(minutes=5))


class AwayStore(InMemoryIdentityStore):
    """A store that a test makes unavailable for reading login sessions."""

    is_away = False

    async def find_login_session(self, login_session_id: str) -> LoginSession | None:
        if self.is_away:
            raise StoreUnavailable("no primary")
        return await super().find_login_session(login_session_id)

    async def record_activity(self, login_session_id: str, at: datetime) -> None:
        if self.is_away:
            raise StoreUnavailable("no primary")
        await super().record_activity(login_session_id, at)


class IdentityWorld:
    """A service that knows people and machines, and another one that shares the database."""

    def __init__(self, store: AwayStore | None = None) -> None:
        self.clock, self.store, self.anna = Clock(), store or AwayStore(), make_person("anna")
        self.login_sessions, self.machines, self.authentication = self.create_service()
        self.people = People(self.store, self.login_sessions)

    def create_service(self) -> tuple[LoginSessions, Machines, Authentication]:
        login_sessions = LoginSessions(self.store, LIMITS, self.clock)
        machines = Machines(self.store, ISSUER, self.clock)
        return login_sessions, machines, Authentication(login_sessions, machines, Tokens(), PUBLIC_URL)

    async def sign_in(self) -> str:
        return await self.login_sessions.start(self.anna, "Firefox/140.0")

    async def is_signed_in(self, cookie: str, **headers: str) -> bool:
        try:
            await self.authentication.authenticate(make_request(cookie=cookie, headers=headers))
        except Unauthenticated:
            return False
        return True
