"""The authorization code flow by hand, as the client that must get every step right."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from secrets import token_urlsafe
from typing import Any

import httpx2
from joserfc import jwt
from joserfc.jwk import KeySet
from joserfc.jwt import Token

from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Account, Client

CALLBACK = "/sign-in/callback"


@dataclass
class CodeFlow:
    """One sign-in at `issuer` that starts and ends at `front_door`, which is not asked: redirects are read by hand."""

    issuer: LocalIssuer
    front_door: str
    nonce: str = field(default_factory=token_urlsafe)
    state: str = field(default_factory=token_urlsafe)
    code_verifier: str = field(default_factory=lambda: token_urlsafe(48))

    @property
    def redirect_uri(self) -> str:
        return self.front_door + CALLBACK

    def start_url(self, **changes: str | None) -> str:
        """Where the browser asks for a code. `changes` replace parameters, or leave them out if they are None."""
        digest = hashlib.sha256(self.code_verifier.encode()).digest()
        parameters = {
            "client_id": self.issuer.configuration.web_client.client_id,
            "response_type": "code",
            "scope": "openid profile email",
            "redirect_uri": self.redirect_uri,
            "nonce": self.nonce,
            "state": self.state,
            "code_challenge": base64.urlsafe_b64encode(digest).decode().rstrip("="),
            "code_challenge_method": "S256",
            **changes,
        }
        given = {name: value for name, value in parameters.items() if value is not None}
        return str(httpx2.URL(f"{self.issuer.url}/auth", params=given))

    async def start(self, http: httpx2.AsyncClient, **changes: str | None) -> httpx2.Response:
        """Ask for a code."""
        return await http.get(self.start_url(**changes))

    async def choose(self, http: httpx2.AsyncClient, person: Account) -> httpx2.URL:
        """Start, choose who to be, and return the address to which the issuer redirects in the end."""
        response = await follow_until(http, await self.start(http), "/interaction/")
        page_url = response.headers["Location"]
        response = await http.post(page_url, data={"account": person.subject})
        return httpx2.URL((await follow_until(http, response, CALLBACK)).headers["Location"])

    async def exchange(self, code: str, **changes: str) -> httpx2.Response:
        """Exchange the code for tokens, as a program and not in the browser."""
        client = self.issuer.configuration.web_client
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.code_verifier,
            **changes,
        }
        return await ask_for_token(self.issuer, client, form)


async def ask_for_token(issuer: LocalIssuer, client: Client, form: Mapping[str, str]) -> httpx2.Response:
    """What the token endpoint answers to a program."""
    async with httpx2.AsyncClient(timeout=30) as http:
        return await http.post(issuer.token_url, data=dict(form), auth=(client.client_id, client.client_secret))


async def follow_until(http: httpx2.AsyncClient, response: httpx2.Response, destination: str) -> httpx2.Response:
    """Follow redirects up to the one whose target contains `destination`; that one is not followed."""
    while destination not in response.headers["Location"]:
        response = await http.get(response.url.join(response.headers["Location"]))
    response.headers["Location"] = str(response.url.join(response.headers["Location"]))
    return response


async def published_keys(http: httpx2.AsyncClient, issuer: LocalIssuer) -> KeySet:
    """The public keys, from where the discovery document says they are."""
    discovery = (await http.get(f"{issuer.url}/.well-known/openid-configuration")).json()
    return KeySet.import_key_set((await http.get(discovery["jwks_uri"])).json())


def verified(token: str, keys: KeySet) -> Token:
    """The token, if one of the keys signed it. Raises JoseError."""
    return jwt.decode(token, keys, algorithms=["RS256"])


def key_ids(keys: KeySet) -> list[Any]:
    return [key.kid for key in keys.keys]
