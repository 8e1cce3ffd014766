"""Many open inboxes: what one change costs, and how many a process accepts."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import httpx2

from shared.kafka.producer import Producer
from tests.integration.notify.conftest import Serve
from tests.integration.notify.steps import has_inbox, suspected_events
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import ServiceClient, wait_until

STREAM_COUNT = 60


async def test_a_change_is_read_once_for_all_open_streams_of_an_inbox(serve: Serve, kafka: Producer) -> None:
    s = RuptureBuilder()
    async with (
        serve(inbox_streams_per_inbox=STREAM_COUNT) as client,
        AsyncExitStack() as open_streams,
        asyncio.timeout(60),
    ):
        await kafka.publish([s.registered()])
        await wait_until(lambda: has_inbox(client, s))
        streams = [await open_streams.enter_async_context(open_stream(client, s)) for _ in range(STREAM_COUNT)]
        assert [await anext(inboxes) for inboxes in streams] == [[]] * STREAM_COUNT
        queries_before = await count_queries(client)

        await kafka.publish(suspected_events(s))
        received = [await anext(inboxes) for inboxes in streams]
        queries = await count_queries(client) - queries_before

    assert received == [received[0]] * STREAM_COUNT
    assert [alert["status"] for alert in received[0]] == ["open"]
    assert queries < STREAM_COUNT  # besides those of the streams: of the handler, and of the deliveries


async def test_streams_beyond_the_limits_are_refused_until_others_close(serve: Serve, kafka: Producer) -> None:
    s, other, third = RuptureBuilder(), RuptureBuilder(), RuptureBuilder()
    async with serve(inbox_streams_per_inbox=2, inbox_streams=3) as client, asyncio.timeout(60):
        await kafka.publish([each.registered() for each in (s, other, third)])
        for each in (s, other, third):
            await wait_until(partial(has_inbox, client, each))
        async with open_stream(client, s), open_stream(client, other):
            async with open_stream(client, s):
                beyond_inbox = await client.get(stream_path(s))
                beyond_process = await client.get(stream_path(third))
            await wait_until(lambda: accepts_stream(client, s))

    for refused in (beyond_inbox, beyond_process):
        assert (refused.status_code, refused.json()["type"]) == (503, "urn:attune:problem:too-many-streams")
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
    assert "2 open streams of this inbox" in beyond_inbox.json()["detail"]
    assert "3 open streams" in beyond_process.json()["detail"]


async def test_a_removed_alert_is_read_only_by_the_inboxes_that_showed_it(serve: Serve, kafka: Producer) -> None:
    s, others = RuptureBuilder(), [RuptureBuilder() for _ in range(30)]
    async with serve() as client, AsyncExitStack() as open_streams, asyncio.timeout(60):
        for each in (s, *others):
            await kafka.publish([each.registered(), *suspected_events(each)])
        for each in (s, *others):
            await wait_until(partial(has_alert, client, each))
        streams = [await open_streams.enter_async_context(open_stream(client, each)) for each in (s, *others)]
        assert [len(await anext(inboxes)) for inboxes in streams] == [1] * len(streams)
        queries_before = await count_queries(client)

        await kafka.publish([s.erased()])
        assert await anext(streams[0]) == []
        queries = await count_queries(client) - queries_before

    assert queries < len(others)


def stream_path(s: RuptureBuilder) -> str:
    return f"/clinicians/{s.clinician_id}/inbox/stream"


@asynccontextmanager
async def open_stream(
    client: httpx2.AsyncClient, s: RuptureBuilder
) -> AsyncIterator[AsyncIterator[list[dict[str, Any]]]]:
    async with client.stream("GET", stream_path(s)) as response:
        assert response.status_code == 200
        yield _inboxes(response)


async def _inboxes(response: httpx2.Response) -> AsyncIterator[list[dict[str, Any]]]:
    async for line in response.aiter_lines():
        if line.startswith("data:") and "alerts" in (inbox := json.loads(line.removeprefix("data:"))):
            yield inbox["alerts"]


async def accepts_stream(client: httpx2.AsyncClient, s: RuptureBuilder) -> bool:
    async with client.stream("GET", stream_path(s)) as response:
        return response.status_code == 200


async def has_alert(client: httpx2.AsyncClient, s: RuptureBuilder) -> bool:
    response = await client.get(f"/clinicians/{s.clinician_id}/inbox")
    return response.status_code == 200 and len(response.json()["alerts"]) == 1


async def count_queries(client: ServiceClient) -> float:
    """How many queries the service has sent to MongoDB."""
    metrics = (await client.get_ops("/metrics")).text
    pattern = r'^attune_mongodb_command_seconds_count\{command="(?:find|aggregate)"\} (\S+)$'
    return sum(float(count) for count in re.findall(pattern, metrics, re.MULTILINE))
