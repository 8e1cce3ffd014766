"""Who sends a request: a person by the cookie of a login session, or a machine by its bearer token."""

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from starlette.requests import Request

from shared.errors import Rejected
from shared.identity.cookies import LOGIN_COOKIE, read_cookie
from shared.identity.errors import InvalidToken
from shared.identity.form_tokens import has_form_token
from shared.identity.login_sessions import LoginSessions
from shared.identity.machines import Machines
from shared.identity.principal import Machine, Person, Principal
from shared.identity.request_origin import SAFE_METHODS, is_from_our_pages
from shared.identity.tokens import MachineToken

LIVE_HEADER = "Attune-Live-Update"
"""Our scripts send it with requests that no person made: they are no activity."""
EVENT_STREAM = "text/event-stream"


class Unauthenticated(Rejected):
    """It is not known who sends the request. People are asked to sign in, programs to send a valid token."""

    def __init__(self, *, is_token_invalid: bool = False) -> None:
        super().__init__("unauthenticated", "Sign in, or send a valid bearer token.")
        self.is_token_invalid = is_token_invalid


class UntrustedRequest(Rejected):
    """A signed-in browser sent it, but perhaps not from a page that we showed: nothing is done."""

    def __init__(self) -> None:
        super().__init__("untrusted-request", "The request does not come from a current page of Attune. Open it again.")


class TokenVerifier(Protocol):
    """Checks tokens of machines."""

    async def verify_machine_token(self, token: str) -> MachineToken:
        """Raises InvalidToken and IssuerUnavailable."""


class Authentication:
    """Finds out who sends a request. What the principal may do is decided elsewhere."""

    def __init__(
        self, login_sessions: LoginSessions, machines: Machines, tokens: TokenVerifier, public_url: str
    ) -> None:
        self._login_sessions = login_sessions
        self._machines = machines
        self._tokens = tokens
        self._public_url = public_url

    async def authenticate(self, request: Request) -> Principal:
        """The principal of a request. Raises Unauthenticated, UntrustedRequest and Transient."""
        cookie_secret = read_cookie(request, LOGIN_COOKIE)
        if cookie_secret is not None:
            return await self._find_person(request, cookie_secret)
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token:
            return await self._find_machine(token.strip())
        raise Unauthenticated

    def require_our_page(self, request: Request) -> None:
        """Raises UntrustedRequest if another site may have sent it."""
        if not is_from_our_pages(request.headers, self._public_url):
            raise UntrustedRequest

    async def require_current(self, principal: Principal) -> None:
        """Raises Unauthenticated once the principal of a stream has signed out or was revoked, and Transient."""
        if isinstance(principal, Person):
            is_current = await self._login_sessions.is_current(principal)
        else:
            is_current = await self._machines.is_current(principal.machine_id)
        if not is_current:
            raise Unauthenticated

    async def signed_in_until(self, person: Person) -> datetime:
        """When a page must hide its content, if its person does nothing more. Raises StoreUnavailable."""
        return await self._login_sessions.signed_in_until(person)

    async def _find_person(self, request: Request, cookie_secret: str) -> Person:
        session = await self._login_sessions.find(cookie_secret, is_activity=is_activity(request.headers))
        if session is None:
            raise Unauthenticated
        if request.method not in SAFE_METHODS:
            self.require_our_page(request)
            if not await has_form_token(request, cookie_secret):
                raise UntrustedRequest
        return session.person

    async def _find_machine(self, token: str) -> Machine:
        try:
            verified = await self._tokens.verify_machine_token(token)
        except InvalidToken:
            raise Unauthenticated(is_token_invalid=True) from None
        machine = await self._machines.find(verified.issuer, verified.client_id)
        if machine is None:
            raise Unauthenticated(is_token_invalid=True)
        return machine.machine


def is_activity(headers: Mapping[str, str]) -> bool:
    """Whether a person made the request. A stream, and what a page loads because of it, keep no one signed in."""
    return LIVE_HEADER not in headers and EVENT_STREAM not in headers.get("accept", "")
