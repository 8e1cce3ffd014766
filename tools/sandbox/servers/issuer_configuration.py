"""What the issuer of tests and of the demo knows: its people, its clients, its keys, and how long its tokens live."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from joserfc.jwk import RSAKey

WEB_CLIENT_ID = "attune-web"
KEY_BITS = 2048

UNUSED_ISSUER = {
    "OIDC_ISSUER": "http://127.0.0.1:9/oidc",
    "OIDC_CLIENT_ID": WEB_CLIENT_ID,
    "OIDC_CLIENT_SECRET": "unused",
}
"""The environment of processes to which nobody sends a request: no issuer needs to run."""

SigningKey = dict[str, Any]
"""A private key as a JSON Web Key."""


@dataclass(frozen=True)
class Account:
    """Somebody who can sign in."""

    subject: str
    name: str
    email: str
    description: str = ""
    """What the page that offers this account says about it."""
    is_email_verified: bool = True


@dataclass(frozen=True)
class Client:
    """A program that can ask for tokens."""

    client_id: str
    client_secret: str = field(default_factory=secrets.token_urlsafe, repr=False)


@dataclass(frozen=True)
class IssuerConfiguration:
    """All that the issuer knows, apart from its address and its keys."""

    front_doors: tuple[str, ...]
    """The public URLs of Attune to which people may return."""
    accounts: tuple[Account, ...] = ()
    machines: tuple[Client, ...] = ()
    """The systems of clinics."""
    web_client: Client = field(default_factory=lambda: Client(WEB_CLIENT_ID))
    """Attune itself, which signs people in."""
    audience: str = "attune"
    """Of machines' access tokens."""
    id_token_seconds: int = 300
    machine_token_seconds: int = 600
    clock_offset_seconds: int = 0
    """How far the issuer's clock is ahead; negative if it is behind."""


def new_signing_key() -> SigningKey:
    """A new private key with an id of its own."""
    key = RSAKey.generate_key(KEY_BITS, {"use": "sig", "alg": "RS256", "kid": secrets.token_hex(8)})
    return dict(key.as_dict(private=True))


def to_json(issuer: str, configuration: IssuerConfiguration, keys: Sequence[SigningKey]) -> dict[str, Any]:
    """What `node/issuer.mjs` reads. It signs with the first key and publishes all."""
    return {
        "issuer": issuer,
        "front_doors": configuration.front_doors,
        "accounts": [_account(account) for account in configuration.accounts],
        "clients": [_web_client(configuration), *(_machine(machine) for machine in configuration.machines)],
        "audience": configuration.audience,
        "id_token_seconds": configuration.id_token_seconds,
        "machine_token_seconds": configuration.machine_token_seconds,
        "clock_offset_seconds": configuration.clock_offset_seconds,
        "keys": keys,
    }


def _account(account: Account) -> dict[str, Any]:
    return {
        "subject": account.subject,
        "name": account.name,
        "email": account.email,
        "email_verified": account.is_email_verified,
        "description": account.description,
    }


def _web_client(configuration: IssuerConfiguration) -> dict[str, Any]:
    return {
        "client_id": configuration.web_client.client_id,
        "client_secret": configuration.web_client.client_secret,
        "grant_types": ["authorization_code"],
        "response_types": ["code"],
        "redirect_uris": [f"{url}/sign-in/callback" for url in configuration.front_doors],
        "post_logout_redirect_uris": [f"{url}/" for url in configuration.front_doors],
        "token_endpoint_auth_method": "client_secret_basic",
    }


def _machine(client: Client) -> dict[str, Any]:
    return {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "grant_types": ["client_credentials"],
        "response_types": [],
        "redirect_uris": [],
        "token_endpoint_auth_method": "client_secret_basic",
    }
