"""A notify service, with a mail server and a webhook receiver."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from services.notify.app import create_app, delivery_settings
from services.notify.settings import Settings
from shared.mongo.client import Mongo
from tests.support.mongo import open_mongo
from tests.support.notify_harness import FakeChannel
from tests.support.receivers import Mailbox, WebhookReceiver
from tests.support.serving import ServiceClient, run_app
from tools.sandbox.servers.ports import free_ports

Serve = Callable[..., AbstractAsyncContextManager[ServiceClient]]


@pytest.fixture(params=["motor", "pymongo"])
async def mongo(request: pytest.FixtureRequest, mongodb_uri: str) -> AsyncIterator[Mongo]:
    """A database for one test."""
    async with open_mongo(mongodb_uri, request.param) as mongo:
        yield mongo


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def smtp_port() -> int:
    (port,) = free_ports(1)
    return port


@pytest.fixture
def mailbox(smtp_port: int) -> Iterator[Mailbox]:
    mailbox = Mailbox()
    with mailbox.run(smtp_port):
        yield mailbox


@pytest.fixture
async def hook() -> AsyncIterator[WebhookReceiver]:
    hook = WebhookReceiver()
    async with hook.run():
        yield hook


@pytest.fixture
def settings(kafka_servers: str, mongodb_uri: str, smtp_port: int) -> Settings:
    return Settings(
        kafka_bootstrap_servers=kafka_servers,
        mongodb_uri=mongodb_uri,
        mongodb_database=f"test_{uuid4().hex}",
        public_url="https://attune.example/",
        smtp_port=smtp_port,
        smtp_tls="none",
        smtp_from="attune@clinic.example",
        webhook_allow="127.0.0.1",
        delivery_retry_seconds=0.1,
    )


@pytest.fixture
def serve(settings: Settings) -> Serve:
    def serve(**overrides: Any) -> AbstractAsyncContextManager[ServiceClient]:
        changed = settings.model_copy(update=overrides)
        delivery = replace(delivery_settings(changed), due_check_interval_seconds=0.1)
        return run_app(create_app(changed, delivery))

    return serve
