"""How long a message waits whose receiver asks for time with `Retry-After`."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.notify.channels import DeliveryFailed
from services.notify.channels.webhook import parse_retry_after
from services.notify.domain.routing import MAX_RETRY_WAIT
from tests.support.notify_harness import DELIVERY_SETTINGS
from tests.support.serving import wait_until
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness

SENT_AT = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)
SETTINGS = replace(DELIVERY_SETTINGS, first_retry_wait=timedelta(seconds=30), due_check_interval_seconds=0.01)


@pytest.fixture
def service() -> InMemoryNotifyHarness:
    return InMemoryNotifyHarness(SETTINGS)


@pytest.mark.parametrize(
    ("text", "wait"),
    [
        ("120", timedelta(minutes=2)),
        ("0", timedelta(0)),
        ("Tue, 24 Nov 2026 14:40:00 GMT", timedelta(minutes=10)),
        ("Tue, 24 Nov 2026 14:20:00 GMT", timedelta(0)),
        ("Tue, 24 Nov 2026 14:40:00 +0100", timedelta(0)),
        ("-1", timedelta(0)),
        ("1.5", timedelta(0)),
        ("soon", timedelta(0)),
        ("", timedelta(0)),
    ],
)
def test_it_is_a_number_of_seconds_or_a_date(text: str, wait: timedelta) -> None:
    assert parse_retry_after(text, SENT_AT) == wait


@given(text=st.text() | st.from_regex(r"[0-9]+") | st.from_regex(r"\w{3}, \d\d \w{3} \d+ \d\d:\d\d:\d\d GMT"))
def test_whatever_a_receiver_sends_is_a_time(text: str) -> None:
    assert parse_retry_after(text, SENT_AT) >= timedelta(0)


@pytest.mark.parametrize(
    ("asked", "waited"),
    [
        (timedelta(seconds=1), SETTINGS.first_retry_wait),
        (timedelta(minutes=20), timedelta(minutes=20)),
        (timedelta(days=9), MAX_RETRY_WAIT),
    ],
)
async def test_a_receiver_may_ask_for_a_longer_wait_of_up_to_an_hour(
    service: InMemoryNotifyHarness, asked: timedelta, waited: timedelta
) -> None:
    service.channel.errors = [DeliveryFailed("HTTP 503", retry_after=asked)]
    await service.plan_message()

    async with service.worker.run():
        assert await service.wait_for_retry(1) == waited
        service.clock.now += waited
        await wait_until(service.is_all_delivered)

    assert (len(service.channel.sent), service.channel.attempts) == (1, 2)


async def test_a_receiver_cannot_delay_a_message_beyond_the_time_at_which_it_is_given_up(
    service: InMemoryNotifyHarness,
) -> None:
    service.channel.errors = [DeliveryFailed("HTTP 503", retry_after=timedelta(minutes=50))] * 2
    await service.plan_message()
    remaining = timedelta(minutes=10)

    async with service.worker.run():
        await service.wait_for_retry(1)
        service.clock.now = NOW + SETTINGS.give_up_after - remaining
        assert await service.wait_for_retry(2) == remaining
