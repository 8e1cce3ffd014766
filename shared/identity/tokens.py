"""What makes a token of the issuer a proof, as a pure function of the token, the issuer's keys and the time.

A token is accepted only if its signature is by a key of the issuer with an algorithm of `ALGORITHMS`, and if it is from
this issuer, for this audience, and valid now. The token never decides how it is checked: neither the algorithms nor
the keys come from it.

The two kinds never stand in for each other: an ID token has the nonce of one sign-in and the audience OIDC_CLIENT_ID,
a machine's token has the audience OIDC_AUDIENCE and the id of a client that is not Attune itself.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt
from joserfc.errors import (
    ClaimError,
    ExpiredTokenError,
    InvalidClaimError,
    InvalidKeyIdError,
    JoseError,
    UnsupportedAlgorithmError,
    UnsupportedHeaderError,
)
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from shared.identity.errors import InvalidToken, UnknownKey

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA", "Ed25519")
"""Asymmetric ones only: who can check such a signature cannot make it. RFC 9864 calls EdDSA Ed25519."""
CLOCK_SKEW_SECONDS = 60
"""How much the clocks of the issuer and of this machine may differ."""
ID_TOKEN_TYPES = (None, "jwt")
MACHINE_TOKEN_TYPES = (None, "jwt", "at+jwt", "application/at+jwt")
"""RFC 9068 requires `at+jwt`; not every issuer obeys."""
ONLY_IN_ID_TOKENS = ("nonce", "at_hash", "c_hash")
MAX_ID_CHARS = 255
"""The limit that OpenID Connect sets for a subject."""
_LAST_SECOND = int(datetime.max.replace(tzinfo=UTC).timestamp())


@dataclass(frozen=True)
class Subject:
    """A person as the issuer knows this person."""

    issuer: str
    subject: str


@dataclass(frozen=True)
class MachineToken:
    """What a machine's token proves: which client of the issuer sends the request, and until when."""

    issuer: str
    client_id: str
    expires_at: datetime


@dataclass(frozen=True)
class Expected:
    """What the tokens of this deployment must contain."""

    issuer: str
    client_id: str
    """Attune's own id at the issuer: the audience of ID tokens."""
    audience: str
    """The audience of machines' tokens."""


def verify_id_token(token: str, keys: KeySet, expected: Expected, nonce: str, now: datetime) -> Subject:
    """Who signed in. Raises InvalidToken."""
    header, claims = _verify(token, keys, expected.issuer, expected.client_id, now)
    _require_type(header, ID_TOKEN_TYPES)
    if claims.get("nonce") != nonce:
        raise InvalidToken("it belongs to another sign-in (nonce)")
    is_for_several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if ("azp" in claims or is_for_several) and claims.get("azp") != expected.client_id:
        raise InvalidToken("it was issued to another client (azp)")
    return Subject(expected.issuer, _require_id(claims["sub"], "sub"))


def verify_machine_token(token: str, keys: KeySet, expected: Expected, now: datetime) -> MachineToken:
    """Which machine sends a request. Raises InvalidToken."""
    header, claims = _verify(token, keys, expected.issuer, expected.audience, now)
    _require_type(header, MACHINE_TOKEN_TYPES)
    if any(name in claims for name in ONLY_IN_ID_TOKENS):
        raise InvalidToken("it is an ID token")
    client_ids = [_require_id(claims[name], name) for name in ("client_id", "azp") if name in claims]
    if len(set(client_ids)) != 1:
        raise InvalidToken("it does not name one client (client_id, azp)")
    if client_ids[0] == expected.client_id:
        raise InvalidToken("it was issued to Attune itself, which is no machine")
    if claims["exp"] > _LAST_SECOND:
        raise InvalidToken("it has no end (exp)")
    return MachineToken(expected.issuer, client_ids[0], datetime.fromtimestamp(claims["exp"], UTC))


def _verify(
    token: str, keys: KeySet, issuer: str, audience: str, now: datetime
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a token that is signed, from `issuer`, for `audience`, and valid now."""
    required = JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=CLOCK_SKEW_SECONDS,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        sub={"essential": True},
        exp={"essential": True},
        iat={"essential": True},
    )
    try:
        decoded = jwt.decode(token, keys, registry=_Signatures())
        required.validate(decoded.claims)
    except InvalidKeyIdError:
        raise UnknownKey from None
    except JoseError as error:
        raise InvalidToken(_describe(error)) from None
    except (ValueError, TypeError, RecursionError):  # joserfc takes it for granted that a header is an object
        raise InvalidToken("it is no signed JWT") from None
    return decoded.header, decoded.claims


class _Signatures(JWSRegistry):
    """Which signatures are checked at all."""

    max_header_length = 4_096  # some issuers put their certificate there
    max_payload_length = 16_384
    max_signature_length = 1_024

    def __init__(self) -> None:
        super().__init__(algorithms=ALGORITHMS, strict_check_header=False)

    def get_alg(self, name: str) -> Any:
        if name not in ALGORITHMS:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]  # without the warning about EdDSA, which is only an older name

    def check_header(self, header: dict[str, Any]) -> None:
        if "crit" in header:  # it names extensions that must be understood, and none is
            raise UnsupportedHeaderError
        super().check_header(header)


def _require_type(header: dict[str, Any], types: tuple[str | None, ...]) -> None:
    type_ = header.get("typ")
    if (type_ if type_ is None else type_.lower()) not in types:
        raise InvalidToken("it is a token of another kind (typ)")


def _require_id(value: object, claim: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_ID_CHARS:
        raise InvalidToken(f"{claim} is not an id")
    return value


def _describe(error: JoseError) -> str:
    if isinstance(error, ExpiredTokenError):
        return "it has expired (exp); if a new one has, too, check the clocks of the issuer and of this machine"
    if isinstance(error, InvalidClaimError) and error.claim in ("iat", "nbf"):
        return f"it is not valid yet ({error.claim}); check the clocks of the issuer and of this machine"
    if isinstance(error, ClaimError):
        return f"{error.claim} is missing or not what it must be"
    return error.error.replace("_", " ")
