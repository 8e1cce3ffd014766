"""How long and how many at once: what the limits of deliveries must leave room for."""

from dataclasses import replace

from services.notify.channels import email
from services.notify.domain.routing import ChannelAddresses, WebhookAddress
from shared.mongo import client as mongo_client
from tests.support.notify_harness import DELIVERY_SETTINGS, EMAIL_ADDRESS, FakeChannel
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until
from tests.unit.notify.memory_harness import NOW, InMemoryNotifyHarness


async def test_a_channel_whose_receivers_are_slow_does_not_delay_another() -> None:
    service = InMemoryNotifyHarness(replace(DELIVERY_SETTINGS, concurrency=1))
    slow, fast = service.channel, FakeChannel()
    service.channels["webhook"] = fast
    slow.is_open.clear()
    both = ChannelAddresses(email="a@clinic.example", webhook=WebhookAddress(url="https://a.example", secret="x"))
    await service.plan_message()
    another = RuptureBuilder(NOW)  # more slow messages than one channel sends at once
    await service.planner.update_channels(None, another.clinician_id, EMAIL_ADDRESS)
    await service.projector.handle_batch([another.started(), another.suspected(3), another.updated(3, 0)])
    await service.planner.update_channels(None, service.rupture.clinician_id, both)

    async with service.worker.run():
        await service.wait_for_attempt(1)
        await wait_until(lambda: _is_true(len(fast.sent) == 1))
        slow.is_open.set()


def test_an_attempt_may_take_as_long_as_a_mail_server() -> None:
    timeouts = email.RFC_5321
    commands = (
        13  # connecting, greeting, EHLO, STARTTLS with its handshake, EHLO, a login in three steps, MAIL, RCPT, RSET
    )
    seconds = commands * timeouts.command + timeouts.data_start + timeouts.data_end + timeouts.quit

    assert seconds < DELIVERY_SETTINGS.send_timeout_seconds


def test_one_renewal_may_fail_and_a_takeover_waits_longer_than_a_renewal_takes() -> None:
    renew_seconds = DELIVERY_SETTINGS.renew_interval_seconds

    assert DELIVERY_SETTINGS.lease.total_seconds() >= 3 * renew_seconds
    assert DELIVERY_SETTINGS.takeover_delay_seconds > renew_seconds + mongo_client.ANSWER_TIMEOUT_MS / 1000


async def _is_true(value: bool) -> bool:
    return value
