"""While the issuer is away or answers wrongly, nobody new signs in, and machines go on with the keys that are known."""

import asyncio
import gzip
from collections.abc import AsyncIterator

import pytest
from httpx2 import AsyncByteStream, ReadTimeout, Request, Response

from shared.identity.errors import IssuerUnavailable
from shared.identity.issuer_client import MAX_RESPONSE_BYTES, IssuerClient
from tests.support.issuer import ISSUER, NONCE, machine_claims, sign
from tests.support.issuer_transport import (
    CODE,
    CONFIGURATION_PATH,
    KEYS_PATH,
    TOKEN_PATH,
    Answer,
    FakeIssuer,
    configuration,
    json_answer,
    no_answer,
    token_response,
)
from tests.unit.shared.identity.connected_issuer import SETTINGS, VERIFIER, connect, finish_sign_in


class Parts(AsyncByteStream):
    """A body that arrives in parts."""

    def __init__(self, *parts: bytes) -> None:
        self._parts = parts
        self.sent = 0
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self._parts:
            self.sent += 1
            yield part

    async def aclose(self) -> None:
        self.is_closed = True


async def time_out(request: Request) -> Response:
    raise ReadTimeout("too slow", request=request)


async def redirect(_request: Request) -> Response:
    return Response(302, headers={"Location": "https://forger.example/"}, json=configuration())


def text_answer(content: bytes, status: int = 200, **headers: str) -> Answer:
    async def answer(_request: Request) -> Response:
        return Response(status, content=content, headers={name.replace("_", "-"): headers[name] for name in headers})

    return answer


NO_ANSWER_OF_AN_ISSUER = {
    "no connection": no_answer,
    "a timeout": time_out,
    "an error of the server": json_answer(configuration(), 500),
    "an error of a gateway": text_answer(b"<html>busy</html>", 503),
    "not found": json_answer({}, 404),
    "too many requests": text_answer(b"slow down", 429),
    "a redirect": redirect,
    "a page": text_answer(b"<html></html>"),
    "nothing": text_answer(b""),
    "something nested deeply": text_answer(b"[" * 100_000),
    "no object": json_answer([configuration()]),
    "text of an unknown encoding": text_answer(b"\xff\xfe\x00"),
    "too much": text_answer(b" " * (MAX_RESPONSE_BYTES + 1)),
    "something compressed": text_answer(gzip.compress(b"{}"), Content_Encoding="gzip"),
}


@pytest.mark.parametrize("answer", NO_ANSWER_OF_AN_ISSUER.values(), ids=NO_ANSWER_OF_AN_ISSUER.keys())
@pytest.mark.parametrize("path", [CONFIGURATION_PATH, KEYS_PATH, TOKEN_PATH])
async def test_the_issuer_is_unavailable_if_it_does_not_answer_as_an_issuer(answer: Answer, path: str) -> None:
    fake = FakeIssuer()
    fake.answers[path] = answer

    with pytest.raises(IssuerUnavailable):
        await finish_sign_in(connect(fake))
    assert fake.requests[-1].url.path == path


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": "https://login.other.example"},
        {"issuer": f"{ISSUER}/"},
        {"issuer": None},
        {"authorization_endpoint": None},
        {"token_endpoint": "http://login.clinic.example/token"},
        {"token_endpoint": 7},
        {"token_endpoint": "/token"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": "https://[half"},
        {"jwks_uri": "https://"},
    ],
)
async def test_a_description_that_is_of_another_issuer_or_insecure_is_not_used(changes: dict[str, object]) -> None:
    fake = FakeIssuer()
    fake.answers[CONFIGURATION_PATH] = json_answer(configuration(**changes))

    with pytest.raises(IssuerUnavailable, match=r"names another issuer|is missing, or not as secure"):
        await connect(fake).start_sign_in("state", NONCE, VERIFIER)
    with pytest.raises(IssuerUnavailable, match=r"names another issuer|is missing, or not as secure"):
        await connect(fake).verify_machine_token(sign(machine_claims()))


@pytest.mark.parametrize("error", ["server_error", "temporarily_unavailable"])
async def test_an_error_that_may_pass_is_no_failed_sign_in(error: str) -> None:
    fake = FakeIssuer()
    fake.answers[TOKEN_PATH] = json_answer({"error": error}, 400)

    with pytest.raises(IssuerUnavailable):
        await finish_sign_in(connect(fake))


@pytest.mark.parametrize("expires_in", ["soon", [1], {"seconds": 60}])
async def test_a_token_response_of_another_form_is_not_used(expires_in: object) -> None:
    fake = FakeIssuer()
    fake.answers[TOKEN_PATH] = json_answer(token_response(expires_in=expires_in))

    with pytest.raises(IssuerUnavailable):
        await finish_sign_in(connect(fake))


async def test_reading_stops_as_soon_as_a_response_is_too_large() -> None:
    parts = Parts(*[b" " * (MAX_RESPONSE_BYTES // 2)] * 100)
    fake = FakeIssuer()

    async def answer(_request: Request) -> Response:
        return Response(200, stream=parts)

    fake.answers[KEYS_PATH] = answer
    with pytest.raises(IssuerUnavailable):
        await connect(fake).verify_machine_token(sign(machine_claims()))

    assert parts.sent == 3
    assert parts.is_closed


async def test_a_response_that_never_ends_is_given_up() -> None:
    fake = FakeIssuer()

    async def answer(_request: Request) -> Response:
        await asyncio.Event().wait()
        raise AssertionError

    fake.answers = dict.fromkeys(fake.answers, answer)
    client = IssuerClient(SETTINGS, fake, timeout_seconds=0.01)

    with pytest.raises(IssuerUnavailable):
        await client.get_json(f"{ISSUER}/keys")
    with pytest.raises(IssuerUnavailable):
        await client.exchange_code(f"{ISSUER}/token", "client_secret_basic", CODE, VERIFIER)


async def test_the_reason_contains_no_secret() -> None:
    fake = FakeIssuer()
    for answer in NO_ANSWER_OF_AN_ISSUER.values():
        fake.answers[TOKEN_PATH] = answer
        with pytest.raises(IssuerUnavailable) as raised:
            await finish_sign_in(connect(fake))

        secret = SETTINGS.oidc_client_secret.get_secret_value()
        assert not [text for text in (secret, CODE, VERIFIER, NONCE) if text in str(raised.value)]


async def test_an_address_at_which_nothing_can_be_is_an_issuer_that_does_not_answer() -> None:
    fake = FakeIssuer()
    fake.answers[CONFIGURATION_PATH] = json_answer(configuration(jwks_uri="https://login.clinic.example:port/keys"))

    with pytest.raises(IssuerUnavailable):
        await connect(fake).verify_machine_token(sign(machine_claims()))


async def test_a_key_set_without_a_usable_key_is_not_used() -> None:
    fake = FakeIssuer()
    documents: list[object] = [{}, {"keys": {}}, {"keys": []}, {"keys": [7, {}, {"kty": "oct", "k": "c2VjcmV0"}]}]
    for document in documents:
        fake.answers[KEYS_PATH] = json_answer(document)
        with pytest.raises(IssuerUnavailable):
            await connect(fake).verify_machine_token(sign(machine_claims()))
