"""Requests to the issuer: with time limits, of limited size, without redirects or proxies of the environment."""

import asyncio
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote_plus

import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from httpx2 import (
    AsyncBaseTransport,
    AsyncHTTPTransport,
    HTTPError,
    InvalidURL,
    RemoteProtocolError,
    Request,
    Response,
    create_ssl_context,
)

from shared.identity.errors import IssuerUnavailable, SignInFailed
from shared.identity.settings import IdentitySettings

PART_TIMEOUT_SECONDS = 5.0
"""Limit for connecting, and for each part of a response."""
REQUEST_TIMEOUT_SECONDS = 10.0
"""Limit for one request, however slowly the issuer responds."""
MAX_RESPONSE_BYTES = 1_000_000
"""Key sets and discovery documents have a few thousand."""
OK = 200
TOKEN_RESPONSE_STATUSES = (200, 400, 401)
"""RFC 6749 (5.1 and 5.2)."""
PASSING_ERRORS = ("server_error", "temporarily_unavailable")
CONFIGURATION_ERRORS = (
    "invalid_client",
    "invalid_request",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
)
log = structlog.get_logger()


class LimitedTransport(AsyncBaseTransport):
    """Reads each response completely, and refuses one that is too large, before or after unpacking it."""

    def __init__(self, transport: AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: Request) -> Response:
        """Raises RemoteProtocolError for such a response, and the errors of a transport."""
        request.headers["Accept-Encoding"] = "identity"
        response = await self._transport.handle_async_request(request)
        try:
            if response.headers.get("Content-Encoding", "identity") != "identity":
                raise RemoteProtocolError("the response is compressed", request=request)
            body = await _read(response.stream, request)
        finally:
            await response.aclose()
        return Response(response.status_code, headers=response.headers, content=body, request=request)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()


async def _read(stream: Any, request: Request) -> bytes:
    body = bytearray()
    async for part in stream:
        body += part
        if len(body) > MAX_RESPONSE_BYTES:
            raise RemoteProtocolError("the response is too large", request=request)
    return bytes(body)


def create_transport(settings: IdentitySettings) -> AsyncBaseTransport:
    """Connections to the issuer, whose certificate must be from a public authority or from that of OIDC_CA_FILE."""
    ssl_context = create_ssl_context(trust_env=False)
    if settings.oidc_ca_file is not None:
        ssl_context.load_verify_locations(cafile=settings.oidc_ca_file)
    return AsyncHTTPTransport(verify=ssl_context, trust_env=False)


class IssuerClient:
    """Attune as a client of the issuer."""

    def __init__(
        self,
        settings: IdentitySettings,
        transport: AsyncBaseTransport,
        timeout_seconds: float = REQUEST_TIMEOUT_SECONDS,
    ) -> None:
        self._timeout_seconds = timeout_seconds
        self._client = AsyncOAuth2Client(
            settings.oidc_client_id,
            settings.oidc_client_secret.get_secret_value(),
            redirect_uri=settings.sign_in_callback,
            transport=LimitedTransport(transport),
            timeout=PART_TIMEOUT_SECONDS,
            follow_redirects=False,
            trust_env=False,
        )
        self._client.register_client_auth_method(("client_secret_basic", _add_basic_credentials))
        self._client.register_compliance_hook("access_token_response", _require_token_response)

    async def get_json(self, url: str) -> dict[str, Any]:
        """The JSON object at `url`. Raises IssuerUnavailable."""
        async with self._limited():
            response = await self._client.request("GET", url, withhold_token=True)
        if response.status_code != OK:
            raise IssuerUnavailable(f"the issuer answers {url} with HTTP {response.status_code}")
        try:
            document = response.json()
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            raise IssuerUnavailable(f"the issuer answers {url} with something that is no JSON object")
        return document

    async def exchange_code(self, endpoint: str, auth_method: str, code: str, code_verifier: str) -> dict[str, Any]:
        """The token response for the code of a sign-in. Raises SignInFailed and IssuerUnavailable."""
        async with self._limited():
            try:
                response: dict[str, Any] = await self._client.fetch_token(
                    endpoint,
                    grant_type="authorization_code",
                    code=code,
                    code_verifier=code_verifier,
                    auth=self._client.client_auth(auth_method),
                )
            except OAuthError as error:
                raise _translate(error) from None
            except (ValueError, TypeError, RecursionError):  # of its JSON, or of an `expires_in` that is no number
                raise IssuerUnavailable("the issuer's token response is not of the expected form") from None
            finally:
                self._client.token = None  # nothing is done in the name of this person at the issuer
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """Limit the time of a request, and translate the errors of the libraries."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                yield
        except (HTTPError, InvalidURL, TimeoutError) as error:
            raise IssuerUnavailable(f"the issuer does not answer: {type(error).__name__}") from None


def _add_basic_credentials(client: Any, method: str, uri: str, headers: Any, body: Any) -> tuple[str, Any, Any]:
    """As RFC 6749 (2.3.1) requires; authlib leaves out the encoding of special characters."""
    credentials = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {b64encode(credentials.encode()).decode()}"
    return uri, headers, body


def _require_token_response(response: Response) -> Response:
    """authlib would take a JSON object for one whatever the status is, a redirect's, too."""
    if response.status_code not in TOKEN_RESPONSE_STATUSES:
        raise IssuerUnavailable(f"the issuer answers to a code with HTTP {response.status_code}")
    return response


def _translate(error: OAuthError) -> SignInFailed | IssuerUnavailable:
    if error.error == "invalid_grant":
        return SignInFailed("This sign-in was finished before, or took too long. Please sign in again.")
    if error.error in PASSING_ERRORS:
        return IssuerUnavailable(f"the issuer reports {error.error}")
    reason = error.error if error.error in CONFIGURATION_ERRORS else "an error that is not in RFC 6749"
    log.error("Sign-in failed: the issuer refuses Attune; check OIDC_CLIENT_ID and OIDC_CLIENT_SECRET", reason=reason)
    return SignInFailed("The sign-in service refuses Attune. Please tell your administrator.")
