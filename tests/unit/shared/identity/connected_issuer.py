"""Attune, connected to an issuer in memory."""

from joserfc.jwk import Key
from pydantic import SecretStr

from shared.identity.issuer import Issuer
from shared.identity.settings import IdentitySettings
from shared.identity.tokens import Subject
from tests.support.issuer import AUDIENCE, CLIENT_ID, ISSUER, NONCE, NOW, machine_claims, sign
from tests.support.issuer_transport import CODE, FakeIssuer

SECRET = "a+secret: of 100% strength"
VERIFIER = "v" * 43
CALLBACK = "https://attune.clinic.example/sign-in/callback"
SETTINGS = IdentitySettings(
    oidc_issuer=ISSUER,
    oidc_client_id=CLIENT_ID,
    oidc_client_secret=SecretStr(SECRET),
    oidc_audience=AUDIENCE,
    public_url="https://attune.clinic.example",
)


class FakeTimer:
    """A monotonic clock that is set by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def connect(fake: FakeIssuer, timer: FakeTimer | None = None) -> Issuer:
    """Attune's side of the connection."""
    return Issuer(SETTINGS, fake, clock=lambda: NOW, monotonic_clock=timer or FakeTimer())


async def finish_sign_in(issuer: Issuer) -> Subject:
    """Finish the sign-in with `NONCE`."""
    return await issuer.finish_sign_in(CODE, VERIFIER, NONCE)


async def verify_machine(issuer: Issuer, key: Key) -> str:
    """The client id in a machine's token that is signed with `key`, which need not be one of the issuer's."""
    algorithm = "ES256" if key.key_type == "EC" else "RS256"
    return (await issuer.verify_machine_token(sign(machine_claims(), key, algorithm))).client_id
