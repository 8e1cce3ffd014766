"""The use cases of login sessions: they start, are listed, act in a role, and end."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from shared.access.roles import Role
from shared.errors import StoreUnavailable
from shared.identity.cache import ReadCache, answer_in_time
from shared.identity.login_session import LoginSession, find_browser
from shared.identity.principal import Person
from shared.identity.records import BoundPerson
from shared.identity.secret_values import create_secret, hash_secret
from shared.identity.store.protocol import IdentityStore


@dataclass(frozen=True)
class LoginLimits:
    """When a login session ends by itself."""

    idle: timedelta
    longest: timedelta


class LoginSessions:
    """The login sessions of all people, as every process sees them: from the store, and for a moment from a cache."""

    def __init__(self, store: IdentityStore, limits: LoginLimits, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._limits = limits
        self._clock = clock
        self._cache = ReadCache(store.find_login_session, self._is_active, clock)

    async def start(self, person: BoundPerson, user_agent: str) -> str:
        """Start a login session and return the value of its cookie. Raises StoreUnavailable."""
        secret, now = create_secret(), self._clock()
        await self._store.add_login_session(
            LoginSession(
                login_session_id=hash_secret(secret),
                person_id=person.person_id,
                clinic_id=person.clinic_id,
                browser=find_browser(user_agent),
                started_at=now,
                expires_at=now + self._limits.longest,
                last_active_at=now,
            )
        )
        return secret

    async def find(self, cookie_secret: str, *, is_activity: bool) -> LoginSession | None:
        """The login session of a cookie, if it is active. Raises StoreUnavailable."""
        session = await self._cache.get(hash_secret(cookie_secret))
        if session is None or not is_activity:
            return session
        active = session.record_activity(self._clock(), self._limits.idle)
        if active is not session:
            await self._write_activity(active)
        return active

    async def is_current(self, person: Person) -> bool:
        """Whether the login session from which a request or stream came still is active. Raises StoreUnavailable."""
        return await self._cache.get(person.login_session_id) is not None

    async def signed_in_until(self, person: Person) -> datetime:
        """When the login session ends if its person does nothing more; now if it has ended. Raises StoreUnavailable."""
        session = await self._cache.get(person.login_session_id)
        return self._clock() if session is None else session.ends_at(self._limits.idle)

    async def list_active(self, person_id: UUID) -> list[LoginSession]:
        """The active login sessions of a person, the latest first. Raises StoreUnavailable."""
        return [session for session in await self._store.list_login_sessions(person_id) if self._is_active(session)]

    async def choose_role(self, person: Person, role: Role | None) -> str | None:
        """Act in another role from now on, and return the value of the new cookie; None if the session has ended.

        It is another login session with the same limits, so that no cache still has the former role and no page that
        was opened in the former role changes anything. Raises StoreUnavailable.
        """
        session = await self._store.find_login_session(person.login_session_id)
        if session is None or not self._is_active(session):
            return None
        secret = create_secret()
        update = {"login_session_id": hash_secret(secret), "chosen_role": role, "last_active_at": self._clock()}
        await self._store.add_login_session(session.model_copy(update=update))
        await self.end(person.person_id, person.login_session_id)
        return secret

    async def end(self, person_id: UUID, login_session_id: str) -> None:
        """End a login session if it is one of this person. Idempotent. Raises StoreUnavailable."""
        await self._store.end_login_session(person_id, login_session_id, self._clock())
        self._cache.remove(login_session_id)

    async def end_of_cookie(self, cookie_secret: str) -> None:
        """End the login session of a cookie, if there is one. Idempotent. Raises StoreUnavailable."""
        session = await self._store.find_login_session(hash_secret(cookie_secret))
        if session is not None:
            await self.end(session.person_id, session.login_session_id)

    async def end_all(self, person_id: UUID) -> None:
        """End all login sessions of a person. Idempotent. Raises StoreUnavailable."""
        for login_session_id in await self._store.end_login_sessions(person_id, self._clock()):
            self._cache.remove(login_session_id)

    async def _write_activity(self, session: LoginSession) -> None:
        self._cache.put(session.login_session_id, session)
        try:
            await answer_in_time(self._store.record_activity(session.login_session_id, session.last_active_at))
        except StoreUnavailable:
            return  # the request does not need it; the next one writes a later time

    def _is_active(self, session: LoginSession) -> bool:
        return session.is_active(self._clock(), self._limits.idle)
