"""The use case of signing in: from our page to the issuer, and back with a code.

The state binds what comes back to what was started: it is found once, by its hash, and only together with the cookie of
the browser that started. A stolen address, a repeated one or one of somebody else's sign-in therefore leads nowhere.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from shared.access.clinic_id import ClinicId
from shared.errors import NotFound, Rejected
from shared.identity.login_sessions import LoginSessions
from shared.identity.people import People
from shared.identity.records import BoundPerson, StartedSignIn
from shared.identity.secret_values import MAX_SECRET_LENGTH, create_secret, hash_secret
from shared.identity.store.protocol import AccountTaken, IdentityStore
from shared.identity.tokens import Subject

START_PAGE = "/me"
MAX_PATH_LENGTH = 2_000
MAX_CODE_LENGTH = 8_000
"""Some issuers encode a whole ticket in it."""
LOCAL_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")
"""A path of this host: with `//` it would name another one, and browsers read a backslash as a slash."""
SIGN_IN_LIFETIME = timedelta(minutes=10)


class SignInOutOfDate(Rejected):
    """What came back from the issuer belongs to no sign-in that this browser has started and not finished."""

    def __init__(self) -> None:
        super().__init__("sign-in-out-of-date", "This sign-in is over or was started elsewhere. Sign in again.")


class UnknownAccount(Rejected):
    """The account is bound to no person."""

    def __init__(self) -> None:
        super().__init__("unknown-account", "No clinic has invited this account.")


class InvitationNotValid(NotFound):
    """There is no such invitation, or it was used, replaced or is too old."""

    def __init__(self) -> None:
        super().__init__("invitation-not-valid", "This invitation does not exist or is over.")


class SignInIssuer(Protocol):
    """What signing in needs of the issuer."""

    async def start_sign_in(self, state: str, nonce: str, code_verifier: str) -> str:
        """The address at which the person signs in. Raises IssuerUnavailable."""

    async def finish_sign_in(self, code: str, code_verifier: str, nonce: str) -> Subject:
        """The account that signed in. Raises SignInFailed and IssuerUnavailable."""

    async def sign_out_address(self) -> str | None:
        """The address at which the person signs out of the issuer, if it has one and is not away."""


@dataclass(frozen=True)
class InvitedPerson:
    """Whom an invitation is for."""

    person_id: UUID
    clinic_id: ClinicId


class Invitations(Protocol):
    """The invitations of all clinics. A link's hash is all that is known of the one who asks."""

    async def find(self, token_hash: str) -> InvitedPerson | None:
        """Whom the invitation is for, if it is open. Raises StoreUnavailable."""

    async def accept(self, token_hash: str, person_id: UUID) -> None:
        """Use the invitation; of several requests, one does. Raises Rejected and StoreUnavailable."""


@dataclass(frozen=True)
class SignInAnswer:
    """What the issuer answered, as it stands in the address to which it sent the browser back."""

    state: str
    code: str | None


@dataclass(frozen=True)
class SignedIn:
    """A finished sign-in."""

    cookie_secret: str
    go_back_to: str


class SignIn:
    """Signs people in."""

    def __init__(
        self,
        issuer: SignInIssuer,
        store: IdentityStore,
        login_sessions: LoginSessions,
        invitations: Invitations,
        clock: Callable[[], datetime],
    ) -> None:
        self._issuer = issuer
        self._store = store
        self._people = People(store, login_sessions)
        self._login_sessions = login_sessions
        self._invitations = invitations
        self._clock = clock

    async def start(self, browser_secret: str, go_back_to: str, invitation: str | None = None) -> str:
        """Start a sign-in in a browser and return the issuer's address.

        Raises InvitationNotValid, IssuerUnavailable and StoreUnavailable.
        """
        if invitation is not None:
            await self.require_invitation(invitation)
        state, nonce, code_verifier = create_secret(), create_secret(), create_secret()
        address = await self._issuer.start_sign_in(state, nonce, code_verifier)
        await self._store.add_started_sign_in(
            StartedSignIn(
                state_hash=hash_secret(state),
                browser_hash=hash_secret(browser_secret),
                nonce=nonce,
                code_verifier=code_verifier,
                go_back_to=require_local_path(go_back_to),
                invitation_hash=None if invitation is None else hash_secret(invitation),
                started_at=self._clock(),
            )
        )
        return address

    async def finish(self, answer: SignInAnswer, browser_secret: str | None, user_agent: str) -> SignedIn:
        """Sign the person in.

        Raises SignInOutOfDate, SignInFailed, UnknownAccount, InvitationNotValid, AccountTaken, IssuerUnavailable and
        StoreUnavailable.
        """
        started = await self._take(answer.state, browser_secret)
        if answer.code is None or len(answer.code) > MAX_CODE_LENGTH:  # for instance, the person cancelled it
            raise SignInOutOfDate
        account = await self._issuer.finish_sign_in(answer.code, started.code_verifier, started.nonce)
        person = await self._identify(account, started.invitation_hash)
        cookie_secret = await self._login_sessions.start(person, user_agent)
        if await self._people.find(account.issuer, account.subject) != person:
            await self._login_sessions.end_all(person.person_id)  # the account was taken from the person meanwhile
            raise UnknownAccount
        return SignedIn(cookie_secret, started.go_back_to)

    async def sign_out_address(self) -> str | None:
        """The address at which the person signs out of the issuer, if it has one and is not away."""
        return await self._issuer.sign_out_address()

    async def require_invitation(self, invitation: str) -> None:
        """Raises InvitationNotValid and StoreUnavailable."""
        if len(invitation) > MAX_SECRET_LENGTH or await self._invitations.find(hash_secret(invitation)) is None:
            raise InvitationNotValid

    async def _take(self, state: str, browser_secret: str | None) -> StartedSignIn:
        if browser_secret is None or len(state) > MAX_SECRET_LENGTH:
            raise SignInOutOfDate
        started = await self._store.take_started_sign_in(hash_secret(state), hash_secret(browser_secret))
        if started is None or self._clock() >= started.started_at + SIGN_IN_LIFETIME:
            raise SignInOutOfDate
        return started

    async def _identify(self, account: Subject, invitation_hash: str | None) -> BoundPerson:
        """The person of the account; with an invitation, the account is bound to the person who was invited."""
        known = await self._people.find(account.issuer, account.subject)
        if invitation_hash is None:
            if known is None:
                raise UnknownAccount
            return known
        invited = await self._invitations.find(invitation_hash)
        if invited is None:
            raise InvitationNotValid
        if known is not None and known.person_id != invited.person_id:
            raise AccountTaken
        await self._invitations.accept(invitation_hash, invited.person_id)
        person = BoundPerson(
            person_id=invited.person_id,
            clinic_id=invited.clinic_id,
            issuer=account.issuer,
            subject=account.subject,
        )
        await self._people.bind(person)
        return person


def require_local_path(path: str) -> str:
    """The path if it is one of this host, else that of the start page: a link must not lead to another site."""
    return path if len(path) <= MAX_PATH_LENGTH and LOCAL_PATH.fullmatch(path) else START_PAGE
