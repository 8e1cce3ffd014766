"""The issuer of OpenID Connect with which people sign in and from which machines get their tokens."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import structlog
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.client import OAuth2Client
from httpx2 import AsyncBaseTransport
from joserfc.jwk import KeySet

from shared.identity.errors import InvalidToken, IssuerUnavailable, SignInFailed, UnknownKey
from shared.identity.issuer_cache import IssuerCache
from shared.identity.issuer_client import IssuerClient, create_transport
from shared.identity.keys import parse_keys
from shared.identity.metadata import IssuerMetadata, metadata_url, parse_metadata
from shared.identity.settings import IdentitySettings
from shared.identity.tokens import Expected, MachineToken, Subject, verify_id_token, verify_machine_token
from shared.runtime.clock import now

T = TypeVar("T")
log = structlog.get_logger()


class Issuer:
    """Signs people in, and verifies machines' tokens.

    Nothing is asked of the issuer before it is needed, so that a service starts and works while the issuer is away.
    """

    def __init__(
        self,
        settings: IdentitySettings,
        transport: AsyncBaseTransport | None = None,
        clock: Callable[[], datetime] = now,
        monotonic_clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._expected = Expected(settings.oidc_issuer, settings.oidc_client_id, settings.oidc_audience)
        self._clock = clock
        self._client = IssuerClient(settings, transport or create_transport(settings))
        self._metadata = IssuerCache("description", self._fetch_metadata, monotonic_clock)
        self._keys = IssuerCache("keys", self._fetch_keys, monotonic_clock)

    async def start_sign_in(self, state: str, nonce: str, code_verifier: str) -> str:
        """Where the browser is redirected to, to sign in. Raises IssuerUnavailable."""
        metadata = await self._metadata.latest()
        request = OAuth2Client(
            session=None,
            client_id=self._settings.oidc_client_id,
            redirect_uri=self._settings.sign_in_callback,
            scope="openid",  # neither name nor address: Attune needs only to recognize the person
            code_challenge_method="S256",
        )
        address, _ = request.create_authorization_url(
            metadata.authorization_endpoint, state=state, nonce=nonce, code_verifier=code_verifier
        )
        return str(address)

    async def finish_sign_in(self, code: str, code_verifier: str, nonce: str) -> Subject:
        """Who signed in, given the code with which the issuer sent the browser back.

        Raises SignInFailed if the code or the issuer's token is not good, and IssuerUnavailable.
        """
        metadata = await self._metadata.latest()
        response = await self._client.exchange_code(
            metadata.token_endpoint, metadata.client_auth_method, code, code_verifier
        )
        id_token = response.get("id_token")
        if not isinstance(id_token, str):
            raise SignInFailed("The sign-in service did not say who signed in.")
        try:
            return await self._verify(
                lambda keys: verify_id_token(id_token, keys, self._expected, nonce, self._clock())
            )
        except InvalidToken as error:
            log.warning("Sign-in failed: the ID token is not accepted", reason=str(error))
            raise SignInFailed("What the sign-in service said about you could not be verified.") from error

    async def verify_machine_token(self, token: str) -> MachineToken:
        """Which machine sends a request with this token. Raises InvalidToken and IssuerUnavailable."""
        return await self._verify(lambda keys: verify_machine_token(token, keys, self._expected, self._clock()))

    async def sign_out_address(self) -> str | None:
        """Where people can end their session at the issuer, too; None if it has no such page or is away."""
        try:
            endpoint = (await self._metadata.latest()).end_session_endpoint
        except IssuerUnavailable:
            return None
        return endpoint and str(add_params_to_uri(endpoint, [("client_id", self._settings.oidc_client_id)]))

    async def aclose(self) -> None:
        """Close the connections to the issuer."""
        await self._client.aclose()

    async def _verify(self, verify: Callable[[KeySet], T]) -> T:
        """Verify with the keys as last fetched, and again with new ones if it may have changed them."""
        try:
            return verify(await self._keys.latest())
        except UnknownKey:
            return verify(await self._keys.refetched())

    async def _fetch_metadata(self) -> IssuerMetadata:
        document = await self._client.get_json(metadata_url(self._settings.oidc_issuer))
        return parse_metadata(document, self._settings.oidc_issuer)

    async def _fetch_keys(self) -> KeySet:
        return parse_keys(await self._client.get_json((await self._metadata.latest()).jwks_uri))
