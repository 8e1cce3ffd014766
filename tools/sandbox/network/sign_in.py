"""How the simulated network proves who it is: people sign in with a browser, clinics' systems ask for tokens."""

import html
import re
import time
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx2

from tools.sandbox.servers.issuer_configuration import Account, Client

LOOPBACK_IS_SECURE = DefaultCookiePolicy(secure_protocols=("http", "https"))
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
INTERACTION = "/interaction/"  # part of the address of the page on which people choose who they are
CONTINUATION = re.compile(r'http-equiv="refresh" content="0; url=([^"]+)"')
RENEWAL_MARGIN_SECONDS = 30.0  # a token must live until the request that carries it is handled


class SignInFailed(Exception):
    """The way through the sign-in ended somewhere else. The message says where."""


class BrowserTransport(httpx2.AsyncHTTPTransport):
    """What a browser adds to requests: its cookies, and where an unsafe request comes from.

    As Chromium and Firefox do for loopback addresses, it sends `Secure` cookies without TLS too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.cookies = httpx2.Cookies(CookieJar(LOOPBACK_IS_SECURE))

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers.pop("Cookie", None)  # the client's own jar knows no secure loopback
        self.cookies.set_cookie_header(request)
        if request.method not in SAFE_METHODS:
            request.headers.setdefault("Origin", f"{request.url.scheme}://{request.url.netloc.decode()}")
            request.headers.setdefault("Sec-Fetch-Site", "same-origin")
        response = await super().handle_async_request(request)
        response.request = request
        self.cookies.extract_cookies(response)
        return response


def browser(
    base_url: str = "", timeout_seconds: float = 30.0, transport: BrowserTransport | None = None
) -> httpx2.AsyncClient:
    """A client with the cookies of one browser; it follows redirects."""
    return httpx2.AsyncClient(
        base_url=base_url, transport=transport or BrowserTransport(), follow_redirects=True, timeout=timeout_seconds
    )


async def sign_in(browser: httpx2.AsyncClient, front_door_url: str, person: Account) -> httpx2.Response:
    """Sign in as `person`, and return the page on which this ends. Raises SignInFailed.

    The browser must not have a login at the issuer, which would skip the choice.
    """
    return await _choose(browser, await browser.get(f"{front_door_url}/sign-in"), person)


async def accept_invitation(browser: httpx2.AsyncClient, link: str, person: Account) -> httpx2.Response:
    """Accept an invitation and sign in as `person`, and return the page on which this ends. Raises SignInFailed.

    The browser must not have a login at the issuer, which would skip the choice.
    """
    accepted = await browser.post(link)
    continuation = CONTINUATION.search(accepted.text)
    if continuation is None:
        raise SignInFailed(f"the invitation of {person.subject} led nowhere: {accepted.status_code}")
    return await _choose(browser, await browser.get(html.unescape(continuation[1])), person)


async def _choose(browser: httpx2.AsyncClient, page: httpx2.Response, person: Account) -> httpx2.Response:
    """Choose `person` on the issuer's page, and follow where it leads."""
    if INTERACTION not in page.url.path:
        start, *_ = [*page.history, page]
        raise SignInFailed(f"GET {start.url} ended at {page.url} with {page.status_code}")
    response = await browser.post(page.url, data={"account": person.subject})
    if INTERACTION in response.url.path or not response.is_success:
        raise SignInFailed(f"the sign-in of {person.subject} ended at {response.url} with {response.status_code}")
    return response


@dataclass
class MachineTokens:
    """Access tokens of clinics' systems, asked for when needed and used until shortly before they expire."""

    token_url: str
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict, init=False)
    """By client id: the token, and when it must be renewed, in monotonic seconds."""

    async def of(self, client: Client) -> str:
        """A valid token. Raises HTTPStatusError if the issuer refuses the client."""
        token, renew_at = self._tokens.get(client.client_id, ("", 0.0))
        if time.monotonic() >= renew_at:
            token, expires_in = await self._ask(client)
            self._tokens[client.client_id] = token, time.monotonic() + expires_in - RENEWAL_MARGIN_SECONDS
        return token

    async def _ask(self, client: Client) -> tuple[str, float]:
        async with httpx2.AsyncClient() as http:
            response = await http.post(
                self.token_url,
                data={"grant_type": "client_credentials"},
                auth=(client.client_id, client.client_secret),
            )
        answer = response.raise_for_status().json()
        return answer["access_token"], float(answer["expires_in"])
