"""What can go wrong between Attune and the issuer."""

from shared.errors import Rejected, Transient


class IssuerUnavailable(Transient):
    """The issuer does not answer as an issuer must. Nobody new can sign in until it does."""


class InvalidToken(Rejected):
    """This token proves nothing. The text says which check it failed, and never what the token contains."""

    def __init__(self, reason: str) -> None:
        super().__init__("invalid-token", f"The token is refused: {reason}")


class UnknownKey(InvalidToken):
    """The issuer's keys, as last fetched, do not contain the one with which this token claims to be signed."""

    def __init__(self) -> None:
        super().__init__("its key is unknown")


class SignInFailed(Rejected):
    """This sign-in cannot be finished; the person must start again."""

    def __init__(self, detail: str) -> None:
        super().__init__("sign-in-failed", detail)
