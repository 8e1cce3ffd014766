"""The inbox from outside: as JSON, as a stream and as a page, and what clinicians do with their alerts."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx2

from services.notify.app import create_app
from services.notify.settings import Settings
from shared.events import AlertAcknowledged, AlertRaised, AlertResolved
from shared.events.topics import ALERTS
from shared.kafka.producer import Producer
from tests.integration.notify.conftest import Serve
from tests.integration.notify.steps import SECRET, dispose, get_inbox, has_inbox, shows_alert, suspected_events
from tests.support.kafka_reader import read_events
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import ServiceClient, is_ready, port_settings, process_client, run_app, wait_until

SHOWN = {"severity": "concern", "status": "open", "evidence_version": "0123456789abcdef"}
ACKNOWLEDGEMENT = {"id": "0d0b6d0e-7e9e-4a52-8a0a-38a4a4a4b001", "shown": SHOWN}


async def test_acknowledging_and_resolving_are_published_once(
    serve: Serve, kafka: Producer, kafka_servers: str
) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))

        for _ in range(2):
            assert (await dispose(client, s, "acknowledgement")).json()["status"] == "acknowledged"
        for _ in range(2):
            resolved = await dispose(client, s, "resolution", useful=True, disposition="no_action")
            assert resolved.json()["status"] == "resolved"
        after = await dispose(client, s, "acknowledgement")
        body = {"id": str(uuid4()), "shown": after.json()["shown"], "useful": False}
        other = await client.post(f"/alerts/{s.alert_id()}/resolution", json=body)
        read = await client.get(f"/alerts/{s.alert_id()}")
        await wait_until(lambda: has_published(kafka_servers, s, 3))
        await kafka.publish([s.changed(4), s.updated(4, 0)])  # an event of alliance does not undo it
        await wait_until(lambda: shows_alert(client, s, version=4, status="resolved"))

    assert after.json()["status"] == "resolved"
    assert (other.status_code, other.json()["type"]) == (409, "urn:attune:problem:already-resolved")
    assert [read.json()[name] for name in ("status", "useful", "disposition")] == ["resolved", True, "no_action"]
    events = {e.id: e for e in await read_events(kafka_servers, ALERTS, s.relationship_id)}.values()
    assert [e.event_type() for e in events] == [
        each.event_type() for each in (AlertRaised, AlertAcknowledged, AlertResolved)
    ]
    assert [e.severity for e in events if isinstance(e, AlertAcknowledged | AlertResolved)] == ["concern", "concern"]
    assert [e.disposition for e in events if isinstance(e, AlertResolved)] == ["no_action"]


async def test_an_invalid_request_gets_an_error_and_changes_nothing(serve: Serve) -> None:
    unknown_id = uuid4()
    async with serve() as client:
        response = await client.post(f"/alerts/{unknown_id}/acknowledgement", json=ACKNOWLEDGEMENT)
        assert (response.status_code, response.json()["type"]) == (404, "urn:attune:problem:unknown-alert")
        assert (await client.get(f"/alerts/{unknown_id}")).status_code == 404
        for invalid_body in (
            {"email": "nobody"},
            {"email": "a@b.example\nBcc: c@d.example"},
            {"email": "a@b.example,c@d.example"},
            {"email": "a,c@d.example"},
            {"emial": "a@b.example"},
            {"webhook": {"url": "ftp://a.example", "secret": SECRET}},
            {"webhook": {"url": "file:///etc/passwd", "secret": SECRET}},
            {"webhook": {"url": "http://a.example", "secret": "dG9vIHNob3J0"}},
            {"webhook": {"url": "http://a.example", "secret": "!"}},
        ):
            invalid_response = await client.put(f"/clinicians/{unknown_id}/channels", json=invalid_body)
            assert invalid_response.status_code == 422
            assert SECRET not in invalid_response.text
        for invalid_field in ({"usefull": True}, {"disposition": "ignored"}):
            resolution = await client.post(
                f"/alerts/{unknown_id}/resolution", json={**ACKNOWLEDGEMENT, **invalid_field}
            )
            assert resolution.status_code == 422


async def test_an_alert_whose_episode_was_superseded_names_the_one_in_its_place(serve: Serve, kafka: Producer) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish(suspected_events(s))
        await wait_until(lambda: shows_alert(client, s, status="open"))
        await kafka.publish([s.ended_episode(4, "superseded"), s.suspected(4, episode=1), s.updated(4, 1)])
        await wait_until(lambda: shows_alert(client, s, alert_id=str(s.alert_id(1)), status="open"))
        _, ended = await get_inbox(client, s)

    assert [ended[name] for name in ("alert_id", "status", "end_reason", "superseded_by", "shift")] == [
        str(s.alert_id(0)),
        "ended",
        "superseded",
        str(s.alert_id(1)),
        None,
    ]


async def test_the_inbox_shows_the_open_and_most_severe_first(serve: Serve, kafka: Producer) -> None:
    mild, strong, repaired = (
        RuptureBuilder(case_code="MILD-1"),
        RuptureBuilder(case_code="STRONG-1"),
        RuptureBuilder(case_code="MENDED-1"),
    )
    mild.clinician_id = repaired.clinician_id = strong.clinician_id
    async with serve() as client:
        await kafka.publish(
            [
                *(repaired.started(), repaired.suspected(1, "urgent"), repaired.updated(1, 0)),
                *(repaired.repaired(2, "urgent"), repaired.updated(2)),
                *(mild.started(), mild.suspected(1, "watch"), mild.updated(1, 0)),
                *(strong.started(), strong.suspected(1, "urgent"), strong.updated(1, 0)),
            ]
        )
        await wait_until(lambda: shows_case_codes(client, strong, "STRONG-1 MILD-1 MENDED-1"))


async def test_an_open_inbox_is_updated_by_changes_of_another_process(
    serve: Serve, kafka: Producer, kafka_servers: str
) -> None:
    s = RuptureBuilder()
    path = f"/clinicians/{s.clinician_id}/inbox/stream"
    async with serve() as reader, serve() as writer:
        await kafka.publish([s.registered()])
        await wait_until(lambda: has_inbox(reader, s))
        async with reader.stream("GET", path) as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            inboxes = stream_inboxes(stream)
            assert await anext(inboxes) == []

            await kafka.publish(suspected_events(s))  # whichever of the two services handles it
            assert [a["status"] for a in await anext(inboxes)] == ["open"]

            await dispose(writer, s, "acknowledgement")
            assert [a["status"] for a in await anext(inboxes)] == ["acknowledged"]


async def test_an_open_inbox_gets_pings_while_nothing_changes(settings: Settings, kafka: Producer) -> None:
    s = RuptureBuilder()
    async with run_app(create_app(settings, ping_seconds=0.1)) as client:
        await kafka.publish([s.registered()])
        await wait_until(lambda: has_inbox(client, s))
        async with client.stream("GET", f"/clinicians/{s.clinician_id}/inbox/stream") as stream, asyncio.timeout(20):
            lines = (line async for line in stream.aiter_lines() if line)
            assert (await anext(lines)).startswith('data: {"alerts":[]')
            for _ in range(2):
                assert await anext(lines) == "event: ping"
                at = json.loads((await anext(lines)).removeprefix("data:"))["at"]
                assert abs(datetime.now(UTC) - datetime.fromisoformat(at)) < timedelta(minutes=1)
        page = await client.get(f"/inbox/{s.clinician_id}")

    assert re.search(r'As of <time datetime="[^"]+">[A-Z][a-z]{2} ', page.text)


async def test_a_head_request_for_a_stream_opens_none(serve: Serve, kafka: Producer) -> None:
    s = RuptureBuilder()
    async with serve() as client:
        await kafka.publish([s.registered()])
        await wait_until(lambda: has_inbox(client, s))
        for _ in range(3):
            head = await client.head(f"/clinicians/{s.clinician_id}/inbox/stream")
            assert (head.status_code, head.content) == (200, b"")

        await wait_until(lambda: has_metric_line(client, "attune_notify_inbox_streams 0.0"))


async def test_the_service_stops_within_seconds_although_an_inbox_is_open(
    settings: Settings, kafka: Producer, kafka_servers: str
) -> None:
    s = RuptureBuilder()
    await kafka.publish([s.registered()])
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_servers,
        "MONGODB_URI": settings.mongodb_uri,
        "MONGODB_DATABASE": settings.mongodb_database,
        **port_settings(),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.notify", env={**os.environ, **environment}, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with process_client(environment) as client:
            await wait_until(lambda: is_ready(client))
            await wait_until(lambda: has_inbox(client, s))
            async with client.stream("GET", f"/clinicians/{s.clinician_id}/inbox/stream") as stream:
                inboxes = stream_inboxes(stream)
                assert await anext(inboxes) == []

                process.send_signal(signal.SIGTERM)
                async with asyncio.timeout(12):
                    await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()

    assert process.returncode in (0, -signal.SIGTERM)


async def stream_inboxes(stream: httpx2.Response) -> AsyncIterator[list[dict[str, Any]]]:
    async for line in stream.aiter_lines():
        if line.startswith("data:") and "alerts" in (inbox := json.loads(line.removeprefix("data:"))):
            yield inbox["alerts"]


async def shows_case_codes(client: httpx2.AsyncClient, s: RuptureBuilder, case_codes: str) -> bool:
    alerts = await get_inbox(client, s) if await has_inbox(client, s) else []
    return " ".join(alert["case_code"] for alert in alerts) == case_codes


async def has_metric_line(client: ServiceClient, line: str) -> bool:
    return line in (await client.get_ops("/metrics")).text.splitlines()


async def has_published(servers: str, s: RuptureBuilder, count: int) -> bool:
    return len({event.id for event in await read_events(servers, ALERTS, s.relationship_id)}) == count
