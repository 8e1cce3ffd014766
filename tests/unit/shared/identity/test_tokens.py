"""A token is a proof only if all that it claims is as it must be."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.identity.errors import InvalidToken
from shared.identity.tokens import Subject
from tests.support.issuer import AUDIENCE, CLIENT_ID, ISSUER, NONCE, NOW, id_claims, machine_claims, seconds, sign
from tests.unit.shared.identity.verification import json_values, verify_machine, verify_person

ACCEPTED_CHANGES: dict[str, dict[str, Any]] = {
    "as it is": {},
    "expired 59 seconds ago": {"exp": seconds(-59)},
    "valid in 59 seconds": {"nbf": seconds(59)},
    "issued in 59 seconds, by a clock that is ahead": {"iat": seconds(59)},
    "issued long ago": {"iat": seconds(-86_400)},
    "with fractions of a second": {"exp": seconds(10) + 0.5, "iat": seconds(-10) + 0.25},
    "with claims that nobody asked for": {"email": "a@b.example", "roles": ["administrator"], "clinic_id": "x"},
    "with the longest subject": {"sub": "s" * 255},
}
REFUSED_CHANGES: dict[str, dict[str, Any]] = {
    "expired a minute ago": {"exp": seconds(-60)},
    "expired long ago": {"exp": 0},
    "without end": {"exp": None},
    "with an end that is text": {"exp": str(seconds(300))},
    "with an end that is true": {"exp": True},
    "with an end that is not a number": {"exp": float("nan")},
    "with an end that is never": {"exp": float("inf")},
    "valid in 61 seconds": {"nbf": seconds(61)},
    "valid from a text on": {"nbf": "now"},
    "issued in 61 seconds": {"iat": seconds(61)},
    "without a time of issue": {"iat": None},
    "from another issuer": {"iss": "https://login.other.example/realms/attune"},
    "from an issuer that differs by a slash": {"iss": f"{ISSUER}/"},
    "from an issuer that differs by a capital": {"iss": ISSUER.upper()},
    "from several issuers": {"iss": [ISSUER]},
    "without an issuer": {"iss": None},
    "for another audience": {"aud": "somebody-else"},
    "for a list of audiences without ours": {"aud": ["somebody-else", "account"]},
    "for no audience": {"aud": None},
    "for an empty list of audiences": {"aud": []},
    "for an audience that only begins like ours": {"aud": f"{CLIENT_ID}-and-more"},
    "for an audience that is an object": {"aud": {CLIENT_ID: AUDIENCE}},
    "without a subject": {"sub": None},
    "with an empty subject": {"sub": ""},
    "with a subject that is a number": {"sub": 7},
}
"""What is wrong in every token, whoever it is for."""


@pytest.mark.parametrize("changes", ACCEPTED_CHANGES.values(), ids=ACCEPTED_CHANGES.keys())
def test_a_token_is_accepted(changes: dict[str, Any]) -> None:
    assert verify_person(sign(id_claims(**changes))) == Subject(ISSUER, changes.get("sub", "person-7"))
    assert verify_machine(sign(machine_claims(**changes))).client_id == "intake-system"


@pytest.mark.parametrize("changes", REFUSED_CHANGES.values(), ids=REFUSED_CHANGES.keys())
def test_a_token_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidToken):
        verify_person(sign(id_claims(**changes)))
    with pytest.raises(InvalidToken):
        verify_machine(sign(machine_claims(**changes)))


claim_names = st.sampled_from(["iss", "aud", "sub", "exp", "iat", "nbf", "azp", "client_id", "jti"])


@given(st.dictionaries(claim_names, json_values))
def test_no_claim_crashes_the_verification(changes: dict[str, Any]) -> None:
    """The issuer may be wrong, too."""
    try:
        verified = verify_machine(sign({**machine_claims(), **changes}))
    except InvalidToken:
        return
    assert verified.issuer == ISSUER


@pytest.mark.parametrize("nonce", ["another", "", NONCE.upper(), [NONCE], 1, None])
def test_an_id_token_belongs_to_one_sign_in(nonce: object) -> None:
    with pytest.raises(InvalidToken):
        verify_person(sign(id_claims(nonce=nonce)))


@pytest.mark.parametrize(
    ("changes", "is_accepted"),
    [
        ({"azp": CLIENT_ID}, True),
        ({"azp": "another-client"}, False),
        ({"azp": [CLIENT_ID]}, False),
        ({"aud": [CLIENT_ID]}, True),
        ({"aud": [CLIENT_ID], "azp": "another-client"}, False),
        ({"aud": ["another", CLIENT_ID], "azp": CLIENT_ID}, True),
        ({"aud": ["another", CLIENT_ID], "azp": "another"}, False),
        ({"aud": ["another", CLIENT_ID]}, False),
    ],
)
def test_an_id_token_for_several_must_be_issued_to_attune(changes: dict[str, Any], is_accepted: bool) -> None:
    token = sign(id_claims(**changes))

    if is_accepted:
        assert verify_person(token).subject == "person-7"
    else:
        with pytest.raises(InvalidToken):
            verify_person(token)


@pytest.mark.parametrize(
    ("changes", "client_id"),
    [
        ({"azp": "intake-system"}, "intake-system"),
        ({"client_id": None, "azp": "intake-system"}, "intake-system"),
        ({"aud": ["another", AUDIENCE]}, "intake-system"),
        ({"sub": "service-account-of-the-issuer"}, "intake-system"),
        ({"azp": "another-client"}, None),
        ({"client_id": None}, None),
        ({"client_id": ""}, None),
        ({"client_id": ["intake-system"]}, None),
        ({"client_id": {"a": 1}}, None),
        ({"client_id": "c" * 256}, None),
        ({"client_id": CLIENT_ID}, None),
        ({"client_id": None, "azp": CLIENT_ID}, None),
        ({"exp": 10**12}, None),
    ],
)
def test_a_machine_is_known_by_the_client_that_its_token_was_issued_to(
    changes: dict[str, Any], client_id: str | None
) -> None:
    token = sign(machine_claims(**changes))

    if client_id is not None:
        assert verify_machine(token).client_id == client_id
    else:
        with pytest.raises(InvalidToken):
            verify_machine(token)


def test_the_end_of_a_machine_token_is_said() -> None:
    assert verify_machine(sign(machine_claims(exp=seconds(90)))).expires_at == (
        NOW.replace(microsecond=0) + timedelta(seconds=90)
    )


@pytest.mark.parametrize(
    ("type_", "is_for_person", "is_for_machine"),
    [
        (None, True, True),
        ("JWT", True, True),
        ("jwt", True, True),
        ("at+jwt", False, True),
        ("application/at+jwt", False, True),
        ("AT+JWT", False, True),
        ("logout+jwt", False, False),
        ("dpop+jwt", False, False),
        ("", False, False),
    ],
)
def test_a_token_of_another_type_is_refused(type_: str | None, is_for_person: bool, is_for_machine: bool) -> None:
    assert accepts(verify_person, sign(id_claims(), typ=type_)) == is_for_person
    assert accepts(verify_machine, sign(machine_claims(), typ=type_)) == is_for_machine


def accepts(verify: Callable[[str], object], token: str) -> bool:
    try:
        verify(token)
    except InvalidToken:
        return False
    return True


@pytest.mark.parametrize("type_", [None, "JWT", "at+jwt"])
@pytest.mark.parametrize("audience", [CLIENT_ID, AUDIENCE, [CLIENT_ID, AUDIENCE]])
def test_no_id_token_stands_in_for_a_machine_token(type_: str | None, audience: str | list[str]) -> None:
    """Whatever audiences the issuer puts into it."""
    assert not accepts(verify_machine, sign(id_claims(aud=audience, azp=CLIENT_ID), typ=type_))
    assert not accepts(verify_machine, sign(id_claims(aud=audience, client_id="intake-system"), typ=type_))
    assert not accepts(verify_machine, sign(id_claims(aud=audience, nonce=None, azp=CLIENT_ID), typ=type_))


@pytest.mark.parametrize("claim", ["nonce", "at_hash", "c_hash"])
def test_a_machine_token_has_no_claim_of_an_id_token(claim: str) -> None:
    assert not accepts(verify_machine, sign(machine_claims(**{claim: "x"})))


@pytest.mark.parametrize("type_", [None, "JWT", "at+jwt"])
@pytest.mark.parametrize("audience", [CLIENT_ID, AUDIENCE, [CLIENT_ID, AUDIENCE]])
def test_no_machine_token_stands_in_for_an_id_token(type_: str | None, audience: str | list[str]) -> None:
    assert not accepts(verify_person, sign(machine_claims(aud=audience, azp=CLIENT_ID), typ=type_))


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_wrong_clock_is_named_as_a_possible_cause(minutes: int) -> None:
    """The issuer's clock differs by ten minutes, and its tokens are valid for five."""
    times = {"iat": seconds(60 * minutes), "exp": seconds(60 * minutes + 300)}

    with pytest.raises(InvalidToken, match="check the clocks"):
        verify_person(sign(id_claims(**times)))
    with pytest.raises(InvalidToken, match="check the clocks"):
        verify_machine(sign(machine_claims(**times)))


def test_the_reason_repeats_nothing_of_the_token() -> None:
    for token in (sign(id_claims(aud="secret-word")), sign(id_claims(), alg="secret-word"), "secret-word.x.y"):
        with pytest.raises(InvalidToken) as raised:
            verify_person(token)
        assert "secret-word" not in str(raised.value)
