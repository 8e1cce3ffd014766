"""Verifies tokens as in one deployment, and makes values of all kinds."""

from datetime import datetime

from hypothesis import strategies as st

from shared.identity.tokens import Expected, MachineToken, Subject, verify_id_token, verify_machine_token
from tests.support.issuer import AUDIENCE, CLIENT_ID, ISSUER, NONCE, NOW, key_set

KEYS = key_set()
EXPECTED = Expected(ISSUER, CLIENT_ID, AUDIENCE)


def verify_person(token: str, now: datetime = NOW) -> Subject:
    """Verify `token` as the ID token of the sign-in with `NONCE`."""
    return verify_id_token(token, KEYS, EXPECTED, NONCE, now)


def verify_machine(token: str, now: datetime = NOW) -> MachineToken:
    """Verify `token` as that of a machine."""
    return verify_machine_token(token, KEYS, EXPECTED, now)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=5,
)
