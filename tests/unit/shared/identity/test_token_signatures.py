"""Only the issuer's keys make a token, with an algorithm that Attune allows."""

import hashlib
import hmac
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import Key, RSAKey
from joserfc.jws import JWSRegistry

from shared.identity.errors import InvalidToken, UnknownKey
from shared.identity.tokens import ALGORITHMS, verify_id_token
from tests.support.issuer import (
    EC_KEY,
    ED_KEY,
    NONCE,
    NOW,
    OTHER_KEY,
    RSA_KEY,
    assemble,
    encode,
    id_claims,
    key_set,
    machine_claims,
    seconds,
    sign,
)
from tests.unit.shared.identity.verification import EXPECTED, json_values, verify_machine, verify_person


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [(RSA_KEY, "RS256"), (RSA_KEY, "PS256"), (EC_KEY, "ES256"), (ED_KEY, "EdDSA"), (ED_KEY, "Ed25519")],
)
def test_every_allowed_algorithm_is_accepted(key: Key, algorithm: str) -> None:
    assert verify_person(sign(id_claims(), key, algorithm)).subject == "person-7"
    assert verify_machine(sign(machine_claims(), key, algorithm, typ="at+jwt")).client_id == "intake-system"


def test_no_allowed_algorithm_uses_a_shared_secret() -> None:
    """Who can check such a signature can also make it."""
    assert "oct" not in {JWSRegistry.algorithms[name].key_type for name in ALGORITHMS}


def test_a_header_that_attune_does_not_know_is_ignored() -> None:
    assert verify_person(sign(id_claims(), x5t="thumbprint", origin="branch-7")).subject == "person-7"


Forge = Callable[[bytes], str]
HEADER = {"alg": "RS256", "kid": "rsa"}
PUBLIC_KEY = RSA_KEY.as_dict(private=False)


def with_header(header: object, key: RSAKey = RSA_KEY) -> Forge:
    """Sign with RS256, whatever the header says."""
    return lambda claims: assemble(header, claims, lambda text: JWSRegistry.algorithms["RS256"].sign(text, key))


def unsigned(algorithm: str) -> Forge:
    return lambda claims: assemble({**HEADER, "alg": algorithm}, claims, lambda _: b"")


def with_hmac(secret: bytes, algorithm: str = "HS256") -> Forge:
    """Sign with something public, as if it were a shared secret."""
    return lambda claims: assemble(
        {**HEADER, "alg": algorithm}, claims, lambda text: hmac.digest(secret, text, hashlib.sha256)
    )


FORGED_SIGNATURES = {
    "unsigned": unsigned("none"),
    "unsigned, in capitals": unsigned("None"),
    "unsigned, but said to be signed": unsigned("RS256"),
    "HMAC with the public key as PEM": with_hmac(RSA_KEY.as_pem(private=False)),
    "HMAC with the public key as DER": with_hmac(RSA_KEY.as_der(private=False)),
    "HMAC with the public key as JSON": with_hmac(json.dumps(PUBLIC_KEY).encode()),
    "HMAC with the public modulus": with_hmac(str(PUBLIC_KEY["n"]).encode()),
    "HMAC with nothing": with_hmac(b""),
    "HMAC, but said to be RSA": with_hmac(RSA_KEY.as_pem(private=False), "RS256"),
    "an algorithm that is not allowed": with_header({**HEADER, "alg": "RS512"}),
    "another algorithm than it says": with_header({**HEADER, "alg": "PS256"}),
    "an algorithm of another kind of key": with_header({**HEADER, "kid": "ec"}),
    "no algorithm": with_header({"kid": "rsa"}),
    "an algorithm that is a list": with_header({**HEADER, "alg": ["RS256"]}),
    "another key under a known id": with_header(HEADER, OTHER_KEY),
    "an unknown key": with_header({**HEADER, "kid": "other"}, OTHER_KEY),
    "a key id that is a number": with_header({**HEADER, "kid": 1}),
    "no key id, although there are several keys": with_header({"alg": "RS256"}),
    "a key that it brings": with_header({**HEADER, "jwk": OTHER_KEY.as_dict(private=False)}, OTHER_KEY),
    "a key at an address that it names": with_header({**HEADER, "jku": "https://forger.example/keys"}, OTHER_KEY),
    "an extension that must be understood": with_header({**HEADER, "crit": ["exp"], "exp": seconds(300)}),
    "an extension that joserfc understands": with_header({**HEADER, "crit": ["b64"], "b64": True}),
    "an extension that changes what is signed": with_header({**HEADER, "crit": ["b64"], "b64": False}),
    "extensions that are a number": with_header({**HEADER, "crit": 5}),
    "an empty list of extensions": with_header({**HEADER, "crit": []}),
    "a header that is a list": with_header(["alg", "b64"]),
    "a header that is text": with_header("alg, b64"),
    "a header that is huge": with_header({**HEADER, "x5c": ["M" * 5_000]}),
    "a type that is a number": with_header({**HEADER, "typ": 1}),
}


@pytest.mark.parametrize("forge", FORGED_SIGNATURES.values(), ids=FORGED_SIGNATURES.keys())
def test_a_forged_signature_is_refused(forge: Forge) -> None:
    with pytest.raises(InvalidToken):
        verify_person(forge(json.dumps(id_claims()).encode()))
    with pytest.raises(InvalidToken):
        verify_machine(forge(json.dumps(machine_claims()).encode()))


def test_a_token_is_accepted_without_key_id_if_the_issuer_has_one_key() -> None:
    token = sign(id_claims(), kid=None)

    assert verify_id_token(token, key_set(RSA_KEY), EXPECTED, NONCE, NOW).subject == "person-7"
    with pytest.raises(InvalidToken):
        verify_id_token(token, key_set(OTHER_KEY), EXPECTED, NONCE, NOW)


def test_an_unknown_key_is_distinguished_from_a_wrong_one() -> None:
    """Only then it helps to fetch the issuer's keys anew."""
    with pytest.raises(UnknownKey):
        verify_machine(sign(machine_claims(), OTHER_KEY))
    with pytest.raises(InvalidToken) as raised:
        verify_machine(sign(machine_claims(), OTHER_KEY, kid="rsa"))
    assert not isinstance(raised.value, UnknownKey)


def broken(token: str) -> dict[str, str]:
    header, claims, signature = token.split(".")
    return {
        "empty": "",
        "dots": "..",
        "without signature": f"{header}.{claims}",
        "with an empty signature": f"{header}.{claims}.",
        "with a part of the signature": token[:-10],
        "with half of the claims": f"{header}.{claims[: len(claims) // 2]}.{signature}",
        "with a part too many": f"{token}.{signature}",
        "encrypted": f"{header}.{claims}.{signature}.{claims}.{signature}",
        "with the signature of another": f"{header}.{claims}.{sign({}).split('.')[2]}",
        "with changed claims": f"{header}.{encode(json.dumps(id_claims(sub='somebody')).encode())}.{signature}",
        "with padding": f"{token}==",
        "with a space": f" {token}",
        "with a line break": f"{token}\n",
        "with other letters": f"{header}.{claims}.ä{signature[1:]}",
        "with half a character": f"{header}.{claims}.\ud800",
        "huge": f"{header}.{'A' * 1_000_000}.{signature}",
        "with a header that is nested deeply": f"{encode(b'[' * 3_000)}.{claims}.{signature}",
    }


@pytest.mark.parametrize("how", broken(sign({})))
def test_a_broken_token_is_refused(how: str) -> None:
    with pytest.raises(InvalidToken):
        verify_person(broken(sign(id_claims()))[how])
    with pytest.raises(InvalidToken):
        verify_machine(broken(sign(machine_claims()))[how])


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"[]", b'"text"', b"{", b"\xff", b"[" * 10_000, b'{"exp": 1' + b"0" * 5_000 + b"}"]
)
def test_signed_content_that_is_no_object_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidToken):
        verify_machine(with_header(HEADER)(payload))


def test_a_token_with_many_claims_is_accepted_up_to_a_limit() -> None:
    groups = [f"a group of the issuer, number {number}" for number in range(1_000)]

    assert verify_person(sign(id_claims(groups=groups[:200]))).subject == "person-7"
    with pytest.raises(InvalidToken):
        verify_person(sign(id_claims(groups=groups)))


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}\.[A-Za-z0-9_-]{0,40}", fullmatch=True))
def test_garbage_is_refused(garbage: str) -> None:
    with pytest.raises(InvalidToken):
        verify_machine(garbage)


@given(json_values | st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "x5c"]), json_values))
def test_no_header_crashes_the_verification(header: object) -> None:
    with pytest.raises(InvalidToken):
        verify_machine(with_header(header)(b"{}"))
