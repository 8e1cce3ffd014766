"""The issuer's keys change; Attune follows, without asking more often than it must."""

import asyncio

import pytest
from httpx2 import Request, Response
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from shared.identity.errors import InvalidToken, IssuerUnavailable, SignInFailed
from shared.identity.issuer_cache import MIN_REFETCH_SECONDS, MIN_RETRY_SECONDS, REFRESH_SECONDS
from shared.identity.keys import MAX_KEYS, parse_keys
from tests.support.issuer import EC_KEY, NONCE, OTHER_KEY, RSA_KEY, published_keys
from tests.support.issuer_transport import CONFIGURATION_PATH, KEYS_PATH, FakeIssuer, configuration, json_answer
from tests.unit.shared.identity.connected_issuer import VERIFIER, FakeTimer, connect, finish_sign_in, verify_machine

TIMEOUT_SECONDS = 10


async def test_an_unknown_key_is_looked_for_once_more() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)
    await verify_machine(issuer, RSA_KEY)
    fake.answers[KEYS_PATH] = json_answer(published_keys(OTHER_KEY))
    timer.seconds += MIN_REFETCH_SECONDS

    assert await verify_machine(issuer, OTHER_KEY) == "intake-system"
    assert fake.count(KEYS_PATH) == 2
    with pytest.raises(InvalidToken):  # the issuer has withdrawn it
        await verify_machine(issuer, RSA_KEY)


async def test_invented_keys_do_not_make_attune_ask_all_the_time() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)

    for _ in range(10 * MIN_REFETCH_SECONDS):
        with pytest.raises(InvalidToken):
            await verify_machine(issuer, OTHER_KEY)
        timer.seconds += 1

    assert fake.count(KEYS_PATH) == 10


async def test_an_id_token_of_a_new_key_is_accepted() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    fake.answers[KEYS_PATH] = json_answer(published_keys(EC_KEY))
    issuer = connect(fake, timer)
    with pytest.raises(SignInFailed):
        await finish_sign_in(issuer)
    fake.answers[KEYS_PATH] = json_answer(published_keys(EC_KEY, RSA_KEY))
    timer.seconds += MIN_REFETCH_SECONDS

    assert (await finish_sign_in(issuer)).subject == "person-7"


async def test_a_withdrawn_key_is_not_trusted_for_long() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)
    await verify_machine(issuer, RSA_KEY)
    fake.answers[KEYS_PATH] = json_answer(published_keys(OTHER_KEY))

    timer.seconds += REFRESH_SECONDS
    await verify_machine(issuer, RSA_KEY)
    timer.seconds += 1
    with pytest.raises(InvalidToken):
        await verify_machine(issuer, RSA_KEY)


async def test_known_keys_are_used_on_while_the_issuer_is_away() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)
    await verify_machine(issuer, RSA_KEY)
    fake.go_away()

    for _ in range(3):
        timer.seconds += REFRESH_SECONDS
        assert await verify_machine(issuer, RSA_KEY) == "intake-system"


async def test_an_unknown_key_may_be_a_new_one_while_the_issuer_is_away() -> None:
    """Such a request can be repeated later; it is not refused for good."""
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)
    await verify_machine(issuer, RSA_KEY)
    fake.go_away()
    timer.seconds += MIN_REFETCH_SECONDS

    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            await verify_machine(issuer, OTHER_KEY)
    assert fake.count(KEYS_PATH) == 2


async def test_nobody_signs_in_while_the_issuer_is_away() -> None:
    fake = FakeIssuer()
    issuer = connect(fake)
    await finish_sign_in(issuer)
    fake.go_away()

    with pytest.raises(IssuerUnavailable):
        await finish_sign_in(issuer)


async def test_the_issuer_can_come_up_after_attune() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    answers = fake.answers
    fake.go_away()
    issuer = connect(fake, timer)
    for _ in range(10):
        with pytest.raises(IssuerUnavailable):
            await verify_machine(issuer, RSA_KEY)
    assert fake.count(CONFIGURATION_PATH) == 1

    fake.answers = answers
    timer.seconds += MIN_RETRY_SECONDS
    assert await verify_machine(issuer, RSA_KEY) == "intake-system"
    assert await issuer.start_sign_in("state", NONCE, VERIFIER)
    with pytest.raises(InvalidToken):  # not IssuerUnavailable: it was asked
        await verify_machine(issuer, OTHER_KEY)


async def test_the_issuer_can_move() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)
    await verify_machine(issuer, RSA_KEY)
    moved = "https://keys.clinic.example/new"
    fake.answers = {
        CONFIGURATION_PATH: json_answer(configuration(jwks_uri=moved)),
        "/new": json_answer(published_keys(OTHER_KEY)),
    }
    timer.seconds += REFRESH_SECONDS + 1

    assert await verify_machine(issuer, OTHER_KEY) == "intake-system"


async def test_many_requests_at_once_ask_the_issuer_once() -> None:
    fake = FakeIssuer()
    issuer = connect(fake)

    assert await asyncio.gather(*(verify_machine(issuer, RSA_KEY) for _ in range(20))) == ["intake-system"] * 20
    assert (fake.count(CONFIGURATION_PATH), fake.count(KEYS_PATH)) == (1, 1)


async def test_only_one_request_waits_for_a_slow_issuer_while_keys_are_known() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    issuer = connect(fake, timer)
    await verify_machine(issuer, RSA_KEY)
    is_asked, may_answer = asyncio.Event(), asyncio.Event()

    async def answer_slowly(_request: Request) -> Response:
        is_asked.set()
        await may_answer.wait()
        return Response(200, json=published_keys())

    fake.answers[KEYS_PATH] = answer_slowly
    timer.seconds += REFRESH_SECONDS + 1
    waiting = asyncio.create_task(verify_machine(issuer, RSA_KEY))
    await asyncio.wait_for(is_asked.wait(), TIMEOUT_SECONDS)

    assert await verify_machine(issuer, RSA_KEY) == "intake-system"
    assert not waiting.done()
    may_answer.set()
    assert await waiting == "intake-system"


async def test_a_request_that_is_given_up_does_not_use_up_the_attempt() -> None:
    fake, timer = FakeIssuer(), FakeTimer()
    answers = dict(fake.answers)
    is_asked = asyncio.Event()

    async def never_answer(_request: Request) -> Response:
        is_asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    fake.answers[KEYS_PATH] = never_answer
    issuer = connect(fake, timer)
    waiting = asyncio.create_task(verify_machine(issuer, RSA_KEY))
    await asyncio.wait_for(is_asked.wait(), TIMEOUT_SECONDS)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    fake.answers = answers
    assert await verify_machine(issuer, RSA_KEY) == "intake-system"


def test_keys_that_check_no_signature_are_left_out() -> None:
    unusable = [
        RSAKey.generate_key(2048, {"kid": "for encryption", "use": "enc"}).as_dict(private=False),
        OctKey.import_key("a shared secret of thirty-two b.", {"kid": "shared"}).as_dict(private=True),
        {**RSA_KEY.as_dict(private=False), "kid": "short", "n": "AQAB" * 84},
        {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "of another curve", "crv": "P-999"},
        {**ECKey.generate_key("P-256").as_dict(private=False), "kid": "not on the curve", "x": "AA"},
        {**OKPKey.generate_key("Ed25519").as_dict(private=False), "kid": 7},
        {"kty": "AKP", "kid": "of a later age", "alg": "ML-DSA-44"},
        {"kty": "RSA", "kid": "empty"},
        {"kty": "RSA", "kid": "numbers", "n": 5, "e": 3},
        {"kty": ["RSA"], "kid": "list"},
        "text",
        None,
    ]

    keys = parse_keys({"keys": [*unusable, *published_keys(RSA_KEY)["keys"]]})

    assert [key.kid for key in keys] == ["rsa"]


def test_only_so_many_keys_are_read() -> None:
    entry = published_keys(EC_KEY)["keys"][0]

    assert len(parse_keys({"keys": [entry] * (MAX_KEYS + 1)}).keys) == MAX_KEYS
