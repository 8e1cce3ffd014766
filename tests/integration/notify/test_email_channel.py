"""Sending a message to a real mail server, and the outcome when its responses are late or lost."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from services.notify.channels import DeliveryFailed, DeliveryUnknown, Notification
from services.notify.channels.email import EmailChannel
from services.notify.domain.routing import ChannelAddresses
from services.notify.settings import Settings
from tests.support.receivers import Mailbox

ADDRESSES = ChannelAddresses(email="someone@clinic.example")
GREETING = ["220 here", "250 hello", "250 sender", "250 recipient"]


def create_notification(url: str = "https://attune.example/inbox/1") -> Notification:
    return Notification(
        delivery_id=uuid4(), sent_at=datetime.now(UTC), alert_id=uuid4(), change="raised", severity="concern", url=url
    )


def create_channel(
    port: int, response_timeout_seconds: float = 5.0, data_response_timeout_seconds: float = 5.0
) -> EmailChannel:
    settings = Settings(kafka_bootstrap_servers="unused:1", mongodb_uri="mongodb://unused", smtp_port=port)
    return EmailChannel(settings, response_timeout_seconds, data_response_timeout_seconds)


@asynccontextmanager
async def scripted_mail_server(responses: Sequence[str]) -> AsyncIterator[int]:
    """The port of a mail server that sends these responses and then disconnects."""

    async def handle_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for index, response in enumerate(responses):
            if index:
                await reader.readline()
            writer.write(f"{response}\r\n".encode())
        line = await reader.readline()
        while responses[-1].startswith("354") and line != b".\r\n":
            line = await reader.readline()
        writer.close()

    async with await asyncio.start_server(handle_client, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_mail_server_may_take_longer_for_the_message_than_for_its_other_responses(
    mailbox: Mailbox, smtp_port: int
) -> None:
    mailbox.data_delay_seconds = 0.6

    await create_channel(smtp_port, response_timeout_seconds=0.3).send(create_notification(), ADDRESSES)

    assert len(mailbox.received) == 1


async def test_when_the_last_response_does_not_come_the_message_may_have_arrived(
    mailbox: Mailbox, smtp_port: int
) -> None:
    mailbox.data_delay_seconds = 5

    with pytest.raises(DeliveryUnknown):
        await create_channel(smtp_port, data_response_timeout_seconds=0.3).send(create_notification(), ADDRESSES)

    assert len(mailbox.received) == 1


async def test_when_a_mail_server_disconnects_after_the_message_it_may_have_arrived() -> None:
    async with scripted_mail_server([*GREETING, "354 go on"]) as port:
        with pytest.raises(DeliveryUnknown):
            await create_channel(port).send(create_notification(), ADDRESSES)


@pytest.mark.parametrize("responses", [GREETING[:1], GREETING[:3], GREETING, [*GREETING, "451 later"]])
async def test_when_a_mail_server_rejects_the_message_it_has_not_arrived(responses: list[str]) -> None:
    async with scripted_mail_server(responses) as port:
        with pytest.raises(DeliveryFailed):
            await create_channel(port).send(create_notification(), ADDRESSES)


async def test_a_full_stop_at_the_start_of_a_line_does_not_end_the_message(mailbox: Mailbox, smtp_port: int) -> None:
    await create_channel(smtp_port).send(create_notification("https://attune.example/\n.\n..hidden\n.end"), ADDRESSES)

    (message,) = mailbox.received
    assert message.get_content().splitlines()[3:6] == [".", "..hidden", ".end"]
