"""People sign in at an issuer, and machines bring its tokens."""

from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from shared.identity.errors import InvalidToken, SignInFailed
from shared.identity.issuer import Issuer
from shared.identity.issuer_cache import MIN_REFETCH_SECONDS
from shared.identity.tokens import Subject
from tests.support.issuer import CLIENT_ID, ISSUER, NONCE, NOW, OTHER_KEY, id_claims, machine_claims, sign
from tests.support.issuer_transport import (
    CODE,
    CONFIGURATION_PATH,
    KEYS_PATH,
    TOKEN_PATH,
    FakeIssuer,
    basic_credentials,
    configuration,
    form_of,
    json_answer,
    token_response,
)
from tests.unit.shared.identity.connected_issuer import (
    CALLBACK,
    SECRET,
    SETTINGS,
    VERIFIER,
    FakeTimer,
    connect,
    finish_sign_in,
)


async def test_a_person_is_sent_to_the_issuer_with_all_that_protects_the_sign_in() -> None:
    address = await connect(FakeIssuer()).start_sign_in("the-state", NONCE, VERIFIER)

    assert address.startswith(f"{ISSUER}/authorize?")
    assert parse_qs(urlsplit(address).query, strict_parsing=True) == {
        "tenant": ["a"],  # the issuer's own
        "response_type": ["code"],
        "client_id": [CLIENT_ID],
        "redirect_uri": [CALLBACK],
        "scope": ["openid"],
        "state": ["the-state"],
        "nonce": [NONCE],
        "code_challenge": [create_s256_code_challenge(VERIFIER)],
        "code_challenge_method": ["S256"],
    }


async def test_the_code_is_exchanged_for_the_person_who_signed_in() -> None:
    fake = FakeIssuer()

    assert await finish_sign_in(connect(fake)) == Subject(ISSUER, "person-7")

    (request,) = [request for request in fake.requests if request.url.path == TOKEN_PATH]
    assert request.method == "POST"
    assert request.headers["Accept-Encoding"] == "identity"
    assert basic_credentials(request.headers) == (CLIENT_ID, SECRET)
    assert form_of(request) == {
        "grant_type": "authorization_code",
        "code": CODE,
        "redirect_uri": CALLBACK,
        "code_verifier": VERIFIER,
    }


@pytest.mark.parametrize(
    ("methods", "is_in_body"),
    [
        (None, False),
        (["client_secret_post", "client_secret_basic"], False),
        (["private_key_jwt", "client_secret_post"], True),
        (["private_key_jwt"], False),
        ("client_secret_post", False),
    ],
)
async def test_the_client_authenticates_as_the_issuer_supports_it(methods: object, is_in_body: bool) -> None:
    fake = FakeIssuer()
    fake.answers[CONFIGURATION_PATH] = json_answer(configuration(token_endpoint_auth_methods_supported=methods))

    await finish_sign_in(connect(fake))

    form = form_of(fake.requests[1])
    assert (form.get("client_id"), form.get("client_secret")) == ((CLIENT_ID, SECRET) if is_in_body else (None, None))
    assert ("Authorization" in fake.requests[1].headers) != is_in_body


@pytest.mark.parametrize(
    "response",
    [
        {"error": "invalid_grant"},
        {"error": "invalid_client", "error_description": "wrong secret"},
        {"error": "something new"},
        {"error": ["invalid_grant"]},
        {"error": None},
        token_response(id_token=None),
        token_response(id_token=7),
        token_response(id_token=""),
        token_response(id_token=sign(id_claims(nonce="another"))),
        token_response(id_token=sign(id_claims(), OTHER_KEY)),
        token_response(id_token=sign(machine_claims())),
    ],
)
async def test_a_sign_in_fails_if_the_issuer_does_not_say_who_signed_in(response: object) -> None:
    fake = FakeIssuer()
    fake.answers[TOKEN_PATH] = json_answer(response, 400 if "error" in str(response) else 200)

    with pytest.raises(SignInFailed):
        await finish_sign_in(connect(fake))


async def test_a_replayed_code_is_told_apart_from_a_wrong_configuration() -> None:
    fake = FakeIssuer()
    fake.answers[TOKEN_PATH] = json_answer({"error": "invalid_grant"}, 400)
    with pytest.raises(SignInFailed, match="finished before, or took too long"):
        await finish_sign_in(connect(fake))

    fake.answers[TOKEN_PATH] = json_answer({"error": "invalid_client"}, 401)
    with pytest.raises(SignInFailed, match="tell your administrator"):
        await finish_sign_in(connect(fake))


async def test_a_machine_is_known_by_its_token() -> None:
    machine = await connect(FakeIssuer()).verify_machine_token(sign(machine_claims(), typ="at+jwt"))

    assert (machine.issuer, machine.client_id) == (ISSUER, "intake-system")
    assert machine.expires_at == NOW.replace(microsecond=0) + timedelta(minutes=5)


async def test_nothing_is_asked_of_the_issuer_before_it_is_needed() -> None:
    fake = FakeIssuer()
    issuer = connect(fake)
    assert fake.requests == []

    for _ in range(3):
        await issuer.verify_machine_token(sign(machine_claims()))
        await issuer.start_sign_in("state", NONCE, VERIFIER)

    assert (fake.count(CONFIGURATION_PATH), fake.count(KEYS_PATH)) == (1, 1)


async def test_a_garbage_token_asks_nothing_of_the_issuer_but_its_keys() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)

    for token in ("garbage", sign(machine_claims(), OTHER_KEY, kid="rsa"), sign(machine_claims(exp=0))):
        timer.seconds += MIN_REFETCH_SECONDS
        with pytest.raises(InvalidToken):
            await issuer.verify_machine_token(token)

    assert fake.count(KEYS_PATH) == 1


async def test_people_can_end_their_session_at_the_issuer() -> None:
    fake = FakeIssuer()
    assert await connect(fake).sign_out_address() == f"{ISSUER}/end?client_id={CLIENT_ID}"

    fake.answers[CONFIGURATION_PATH] = json_answer(configuration(end_session_endpoint=None))
    assert await connect(fake).sign_out_address() is None

    fake.go_away()
    assert await connect(fake).sign_out_address() is None


async def test_an_issuer_with_a_slash_at_its_end_is_found() -> None:
    fake = FakeIssuer()
    fake.answers[CONFIGURATION_PATH] = json_answer(configuration(issuer=f"{ISSUER}/"))
    issuer = Issuer(SETTINGS.model_copy(update={"oidc_issuer": f"{ISSUER}/"}), fake, clock=lambda: NOW)

    assert (await issuer.verify_machine_token(sign(machine_claims(iss=f"{ISSUER}/")))).issuer == f"{ISSUER}/"


async def test_the_connections_are_closed_at_the_end() -> None:
    fake = FakeIssuer()

    await connect(fake).aclose()

    assert fake.is_closed
