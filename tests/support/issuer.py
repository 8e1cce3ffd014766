"""An issuer of OpenID Connect in memory: its keys, and tokens as it and as forgers make them."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from joserfc.jwk import ECKey, Key, KeySet, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

ISSUER = "https://login.clinic.example/realms/attune"
CLIENT_ID = "attune-web"
AUDIENCE = "attune"
NONCE = "the-nonce-of-this-sign-in"
NOW = datetime(2026, 11, 29, 12, 0, 0, 500_000, UTC)

RSA_KEY = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC_KEY = ECKey.generate_key("P-256", {"kid": "ec"})
ED_KEY = OKPKey.generate_key("Ed25519", {"kid": "ed"})
OTHER_KEY = RSAKey.generate_key(2048, {"kid": "other"})
"""A key that the issuer does not publish."""


def published_keys(*keys: Key) -> dict[str, Any]:
    """The issuer's key set document."""
    return {"keys": [key.as_dict(private=False) for key in keys or (RSA_KEY, EC_KEY, ED_KEY)]}


def key_set(*keys: Key) -> KeySet:
    """The issuer's keys as Attune has them."""
    return KeySet.import_key_set(published_keys(*keys))  # type: ignore[arg-type]


def seconds(difference: float) -> int:
    """The time so many seconds after `NOW`, as claims have it."""
    return int((NOW + timedelta(seconds=difference)).timestamp())


def id_claims(**changes: Any) -> dict[str, Any]:
    """The claims of an ID token that is accepted; a change to None removes a claim."""
    claims = {"iss": ISSUER, "aud": CLIENT_ID, "sub": "person-7", "iat": seconds(0), "exp": seconds(300)}
    return _without_none({**claims, "nonce": NONCE, **changes})


def machine_claims(**changes: Any) -> dict[str, Any]:
    """The claims of a machine's token that is accepted; a change to None removes a claim."""
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "service-9", "iat": seconds(0), "exp": seconds(300)}
    return _without_none({**claims, "client_id": "intake-system", "jti": "1", **changes})


def sign(claims: object, key: Key = RSA_KEY, algorithm: str = "RS256", **header: Any) -> str:
    """A token with `claims`, signed with `key`; a header that is None is left out."""
    return assemble(
        _without_none({"alg": algorithm, "kid": key.kid, **header}),
        json.dumps(claims).encode(),
        lambda message: JWSRegistry.algorithms[algorithm].sign(message, key),
    )


def assemble(header: object, payload: bytes, make_signature: Callable[[bytes], bytes]) -> str:
    """A token with any header and payload, as only a forger makes it."""
    message = f"{encode(json.dumps(header).encode())}.{encode(payload)}"
    return f"{message}.{encode(make_signature(message.encode()))}"


def encode(content: bytes) -> str:
    """Base64 as in tokens."""
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def _without_none(items: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in items.items() if value is not None}
