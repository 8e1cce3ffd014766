"""Signing in with a browser at an issuer in memory, without a server."""

from collections.abc import Collection
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import UUID

import httpx2
from fastapi import FastAPI

from shared.access.roles import Role
from shared.errors import NotFound
from shared.identity.errors import IssuerUnavailable, SignInFailed
from shared.identity.http.answers import add_identity_handlers
from shared.identity.http.routes import routes
from shared.identity.principal import Person
from shared.identity.secret_values import create_secret, hash_secret
from shared.identity.sign_in import InvitedPerson, SignIn
from shared.identity.tokens import Subject
from tests.support.identity_builders import CLINIC, ISSUER
from tests.support.identity_world import PUBLIC_URL, AwayStore, IdentityWorld

FROM_OUR_PAGE = {"Sec-Fetch-Site": "same-origin"}


class FakeIssuer:
    """An issuer at which everybody signs in without a password; each code works once and for one sign-in."""

    def __init__(self) -> None:
        self.is_away = False
        self._started: dict[str, tuple[str, str]] = {}
        self._codes: dict[str, tuple[str, str, str]] = {}

    async def start_sign_in(self, state: str, nonce: str, code_verifier: str) -> str:
        self._require_answer()
        self._started[state] = (nonce, code_verifier)
        return f"{ISSUER}/authorize?{urlencode({'state': state})}"

    def sign_in(self, address: str, subject: str) -> str:
        """The path of the callback to which the issuer sends the browser after somebody signed in."""
        [state] = parse_qs(urlsplit(address).query)["state"]
        code = create_secret()
        self._codes[code] = (subject, *self._started[state])
        return f"/sign-in/callback?{urlencode({'state': state, 'code': code, 'iss': ISSUER})}"

    async def finish_sign_in(self, code: str, code_verifier: str, nonce: str) -> Subject:
        self._require_answer()
        subject, expected_nonce, expected_verifier = self._codes.pop(code, ("", "", ""))
        if (nonce, code_verifier) != (expected_nonce, expected_verifier):
            raise SignInFailed("The code is not of this sign-in.")
        return Subject(ISSUER, subject)

    async def sign_out_address(self) -> str | None:
        return None if self.is_away else f"{ISSUER}/sign-out"

    def _require_answer(self) -> None:
        if self.is_away:
            raise IssuerUnavailable("no answer")


class FakeInvitations:
    """Invitations of one use."""

    def __init__(self) -> None:
        self._invited: dict[str, InvitedPerson] = {}

    def invite(self, person_id: UUID) -> str:
        token = create_secret()
        self._invited[hash_secret(token)] = InvitedPerson(person_id, CLINIC)
        return token

    async def find(self, token_hash: str) -> InvitedPerson | None:
        return self._invited.get(token_hash)

    async def accept(self, token_hash: str, person_id: UUID) -> None:
        if self._invited.get(token_hash) != InvitedPerson(person_id, CLINIC):
            raise NotFound("invitation-not-valid", "It was used.")
        del self._invited[token_hash]


class SignInWorld(IdentityWorld):
    """The sign-in of a service, and browsers that use it."""

    def __init__(self, store: AwayStore | None = None) -> None:
        super().__init__(store)
        self.roles: Collection[Role] = ("clinician", "supervisor")
        self.issuer, self.invitations = FakeIssuer(), FakeInvitations()
        sign_in = SignIn(self.issuer, self.store, self.login_sessions, self.invitations, self.clock)
        self._app = FastAPI()
        self._app.include_router(routes(sign_in, self.login_sessions, self.authentication, self._find_roles))
        add_identity_handlers(self._app)

    def open_browser(self) -> "Browser":
        return Browser(self._app, self.issuer)

    async def open_signed_in_browser(self) -> "Browser":
        """A browser in which Anna is signed in."""
        browser = self.open_browser()
        await browser.sign_in()
        return browser

    async def _find_roles(self, _person: Person) -> Collection[Role]:
        return self.roles


class Browser(httpx2.AsyncClient):
    """A browser: it keeps cookies, and follows no redirect by itself."""

    def __init__(self, app: FastAPI, issuer: FakeIssuer) -> None:
        super().__init__(transport=httpx2.ASGITransport(app), base_url=PUBLIC_URL)
        self._issuer = issuer

    async def start(self, go_back_to: str = "/me") -> str:
        """Start a sign-in; the address to which the issuer is asked to send the person."""
        response = await self.get("/sign-in", params={"go_back_to": go_back_to})
        assert response.status_code == 303
        return response.headers["location"]

    async def sign_in(self, subject: str = "anna", go_back_to: str = "/me") -> httpx2.Response:
        """Sign in; the answer to the callback."""
        return await self.get(self._issuer.sign_in(await self.start(go_back_to), subject))

    async def accept(self, token: str, subject: str) -> httpx2.Response:
        """Press the button of an invitation and sign in; the answer to the callback."""
        page = await self.post(f"/invitations/{token}", headers=FROM_OUR_PAGE)
        return await self.get(self._issuer.sign_in(continue_address(page.text), subject))

    async def is_signed_in(self) -> bool:
        return (await self.get("/me")).status_code == 200


def continue_address(page: str) -> str:
    """Where a page sends the browser on."""
    return page.partition('content="0; url=')[2].partition('"')[0].replace("&amp;", "&")
