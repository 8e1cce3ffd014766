"""How requests of people and of clinics' systems prove who sends them."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass, field
from uuid import UUID

import httpx2

from shared.identity.cookies import LOGIN_COOKIE
from shared.identity.form_tokens import HEADER, create_form_token
from shared.identity.request_origin import SAFE_METHODS
from tools.sandbox.network.sign_in import MachineTokens
from tools.sandbox.servers.issuer_configuration import Client

SIGN_IN_PATH = "/sign-in"


@dataclass(frozen=True)
class MachineAuth(httpx2.Auth):
    """Sends requests as a clinic's system."""

    token: str = field(repr=False)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        request.headers["Authorization"] = f"Bearer {self.token}"
        yield request


@dataclass(frozen=True)
class PersonAuth(httpx2.Auth):
    """Sends requests as a browser does in which a person has signed in, from a page of ours."""

    person_id: UUID
    clinic_id: UUID
    cookie: str = field(repr=False)

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        yield self.sign(request)

    def sign(self, request: httpx2.Request) -> httpx2.Request:
        """The request with the cookie, and with what our pages add to requests that change something."""
        request.headers["Cookie"] = f"{LOGIN_COOKIE}={self.cookie}"
        if request.method not in SAFE_METHODS:
            request.headers.setdefault(HEADER, create_form_token(self.cookie))
            if "Origin" not in request.headers:
                request.headers.setdefault("Sec-Fetch-Site", "same-origin")
        return request


@dataclass(frozen=True)
class RenewedMachineAuth(httpx2.Auth):
    """Sends requests as a clinic's system, which asks for a new token before the last one expires."""

    tokens: MachineTokens
    client: Client

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        request.headers["Authorization"] = f"Bearer {await self.tokens.of(self.client)}"
        yield request


@dataclass
class RenewedPersonAuth(httpx2.Auth):
    """Sends requests as a person, who signs in again when the login session has ended."""

    sign_in: Callable[[], Awaitable[PersonAuth]]
    current: PersonAuth
    """The latest login session."""

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        response = yield self.current.sign(request)
        if _is_signed_out(response):
            self.current = await self.sign_in()
            request.headers.pop(HEADER, None)  # it belongs to the login session that has ended
            yield self.current.sign(request)


def _is_signed_out(response: httpx2.Response) -> bool:
    """A program gets 401; a browser is sent to the sign-in."""
    return response.status_code == 401 or response.headers.get("location", "").startswith(SIGN_IN_PATH)
