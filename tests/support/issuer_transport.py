"""Answers Attune's requests to an issuer, as the issuer and as what can go wrong with it."""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from httpx2 import AsyncBaseTransport, ConnectError, Request, Response

from tests.support.issuer import ISSUER, id_claims, published_keys, sign

CONFIGURATION_PATH = "/realms/attune/.well-known/openid-configuration"
KEYS_PATH = "/realms/attune/keys"
TOKEN_PATH = "/realms/attune/token"
CODE = "the-code"

Answer = Callable[[Request], Awaitable[Response]]


def json_answer(document: object, status: int = 200) -> Answer:
    """Answer with `document`."""

    async def answer(_request: Request) -> Response:
        return Response(status, json=document)

    return answer


async def no_answer(request: Request) -> Response:
    """The issuer is away."""
    raise ConnectError("refused", request=request)


def configuration(**changes: object) -> dict[str, object]:
    """The issuer's discovery document; a change to None removes an entry."""
    document = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/authorize?tenant=a",
        "token_endpoint": f"{ISSUER}/token",
        "jwks_uri": f"{ISSUER}/keys",
        "end_session_endpoint": f"{ISSUER}/end",
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


class FakeIssuer(AsyncBaseTransport):
    """An issuer whose answers can be changed; it exchanges `CODE` for a token response."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {
            CONFIGURATION_PATH: json_answer(configuration()),
            KEYS_PATH: json_answer(published_keys()),
            TOKEN_PATH: json_answer(token_response()),
        }
        self.requests: list[Request] = []
        self.is_closed = False

    async def handle_async_request(self, request: Request) -> Response:
        self.requests.append(request)
        return await self.answers[request.url.path](request)

    async def aclose(self) -> None:
        self.is_closed = True

    def count(self, path: str) -> int:
        """How often `path` was asked for."""
        return [request.url.path for request in self.requests].count(path)

    def go_away(self) -> None:
        """Answer nothing any more."""
        self.answers = dict.fromkeys(self.answers, no_answer)


def token_response(**changes: Any) -> dict[str, Any]:
    """What the issuer answers to a code."""
    return {
        "access_token": "opaque",
        "token_type": "Bearer",
        "expires_in": 60,
        "id_token": sign(id_claims()),
        **changes,
    }


def form_of(request: Request) -> dict[str, str]:
    """The form in the body of a request."""
    return dict(parse_qsl(request.content.decode(), strict_parsing=True))


def basic_credentials(headers: Mapping[str, str]) -> tuple[str, str]:
    """Who Attune says that it is, decoded as RFC 6749 (2.3.1) says."""
    scheme, _, credentials = headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    name, _, secret = b64decode(credentials).decode().partition(":")
    return unquote_plus(name), unquote_plus(secret)
