"""Which webhook addresses are saved, and what becomes of one that was saved before it was refused."""

from typing import Any

import pytest

from services.notify.domain.routing import ChannelAddresses, WebhookAddress
from services.notify.settings import Settings
from shared.kafka.producer import Producer
from shared.mongo.client import Mongo
from tests.integration.notify.conftest import Serve
from tests.integration.notify.mongo_harness import create_mongo_store
from tests.integration.notify.steps import SECRET, has_counted, suspected_events
from tests.support.receivers import WebhookReceiver
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import wait_until


def channels(url: str) -> dict[str, Any]:
    return {"email": None, "webhook": {"url": url, "secret": SECRET}}


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/hook",
        "https://2130706433/hook",
        "https://localhost:8000/inbox/1/alerts/2/resolution/not-useful",
        "https://10.0.0.1/hook",
        "https://100.64.0.1/hook",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/hook",
        "https://[::ffff:127.0.0.1]/hook",
        "https://[fd00:ec2::254]/latest",
        "http://93.184.216.34/hook",
        "https://user:password@93.184.216.34/hook",
        "https://93.184.216.34/hook#part",
    ],
)
async def test_a_webhook_that_leads_inside_is_not_saved(serve: Serve, url: str) -> None:
    s = RuptureBuilder()
    async with serve(webhook_allow="") as client:
        response = await client.put(f"/clinicians/{s.clinician_id}/channels", json=channels(url))

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/body/webhook/url"]


@pytest.mark.parametrize(
    "url",
    ["https://attune.example/f/token", "https://Attune.Example.:443/f/token", "http://attune.example:443/f/token"],
)
async def test_a_webhook_that_leads_to_attune_itself_is_not_saved(serve: Serve, url: str) -> None:
    """Clients' forms ask for no password."""
    s = RuptureBuilder()
    async with serve(public_url="https://attune.example/", webhook_allow="attune.example") as client:
        response = await client.put(f"/clinicians/{s.clinician_id}/channels", json=channels(url))

    assert response.status_code == 422
    assert [error["pointer"] for error in response.json()["errors"]] == ["/body/webhook/url"]


async def test_a_webhook_at_a_public_address_or_a_listed_host_is_saved(serve: Serve, hook: WebhookReceiver) -> None:
    s = RuptureBuilder()
    async with serve(webhook_allow="127.0.0.0/8, localhost") as client:
        for url in ("https://93.184.216.34/hook", "http://localhost:8090/hook", hook.url):
            response = await client.put(f"/clinicians/{s.clinician_id}/channels", json=channels(url))
            assert (response.status_code, response.json()["webhook"]) == (200, {"url": url})


async def test_a_webhook_that_was_saved_before_gets_its_message_once_the_operator_lists_it(
    serve: Serve, kafka: Producer, settings: Settings, hook: WebhookReceiver
) -> None:
    s = RuptureBuilder()
    mongo = Mongo(settings.mongodb_uri, settings.mongodb_database)
    address = WebhookAddress(url=hook.url, secret=SECRET)
    await create_mongo_store(mongo).save_channels(None, s.clinician_id, ChannelAddresses(webhook=address))
    await mongo.close()

    async with serve(webhook_allow="") as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: has_counted(client, channel="webhook", outcome="retried"))
    assert hook.received == []

    async with serve(webhook_allow="127.0.0.1") as client:
        await wait_until(lambda: has_counted(client, channel="webhook", outcome="sent"))
    assert len(hook.received) == 1
