"""Tokens and logins from the issuer of this test session."""

from functools import cache

from tools.sandbox.network.sign_in import MachineTokens
from tools.sandbox.servers.issuer import LocalIssuer
from tools.sandbox.servers.issuer_configuration import Client


async def machine_token(issuer: LocalIssuer, client: Client) -> str:
    """An access token of `client`; the same one until shortly before it expires."""
    return await _tokens(issuer.token_url).of(client)


@cache
def _tokens(token_url: str) -> MachineTokens:
    return MachineTokens(token_url)
