"""The use cases of people: an account is bound to a person, and taken from it."""

from uuid import UUID

from shared.identity.login_sessions import LoginSessions
from shared.identity.records import BoundPerson
from shared.identity.store.protocol import IdentityStore


class People:
    """Whose account is whose. What a person may do is decided by the clinic's record of its staff."""

    def __init__(self, store: IdentityStore, login_sessions: LoginSessions) -> None:
        self._store = store
        self._login_sessions = login_sessions

    async def bind(self, person: BoundPerson) -> None:
        """Bind an account to a person, who is signed out wherever another account was used.

        Raises AccountTaken and StoreUnavailable.
        """
        await self._store.bind_person(person)
        await self._login_sessions.end_all(person.person_id)

    async def find(self, issuer: str, subject: str) -> BoundPerson | None:
        """The person to whom the account is bound. Raises StoreUnavailable."""
        return await self._store.find_person(issuer, subject)

    async def remove(self, person_id: UUID) -> None:
        """Take the account from a person, and sign the person out everywhere. Idempotent. Raises StoreUnavailable."""
        await self._store.unbind_person(person_id)
        await self._login_sessions.end_all(person_id)
