"""A rebuild takes no open alert from its clinician, unless an operator accepts that."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.jobs.topics import stamp_on_append
from services.notify.app import create_app
from shared.errors import HandlingError
from shared.events import Event
from shared.events.cloudevents import encode
from shared.events.topics import INTAKE
from shared.kafka.dead_letters.record import DeadLetter, dead_letter_message
from shared.kafka.producer import Producer
from shared.runtime.clock import now
from tests.integration.notify.rebuild.prepared_service import NOW, PreparedService, create_builder
from tests.support.kafka_reader import read_records
from tests.support.rupture_builder import RuptureBuilder
from tests.support.serving import run_app

pytestmark = pytest.mark.integration


async def test_a_rebuild_keeps_the_inbox_of_a_clinician_whose_start_was_sent_by_a_clock_that_was_days_behind(
    notified: PreparedService, kafka: Producer
) -> None:
    """The topic did not stamp on append yet, and the service accepted the event."""
    s = RuptureBuilder(now(), UUID(int=1))
    started = s.started().model_copy(update={"occurred_at": now() - timedelta(days=1)})
    async with _unstamped(kafka_servers := notified.settings.kafka_bootstrap_servers):
        await _send(kafka_servers, started, sent_at_ms=int((now() - timedelta(days=3)).timestamp() * 1000))
    await kafka.publish([s.suspected(3, "urgent"), s.updated(3, 0)])
    async with run_app(create_app(notified.settings)) as client:
        await notified.wait_until_caught_up()
        assert str(s.alert_id()) in (await client.get(f"/clinicians/{s.clinician_id}/inbox")).text

    verify_result = await notified.command("verify")
    await notified.mongo["relationships"].update_one({"_id": s.relationship_id}, {"$set": {"appointments": 7}})
    rebuild_result = await notified.command("rebuild")

    assert (verify_result.exit_code, verify_result.differences) == (0, {}), verify_result
    assert rebuild_result.exit_code == 0, rebuild_result
    async with run_app(create_app(notified.settings)) as client:
        assert str(s.alert_id()) in (await client.get(f"/clinicians/{s.clinician_id}/inbox")).text


async def test_a_rebuild_that_would_take_open_alerts_from_their_clinicians_names_them_and_stops(
    notified: PreparedService, kafka: Producer
) -> None:
    unassigned, settled = create_builder(11), create_builder(6)
    await _dead_letter(kafka, notified.settings.kafka_bootstrap_servers, unassigned.started())
    await notified.mongo["alerts"].update_one(
        {"_id": settled.alert_id()}, {"$set": {"dispositions": [], "resolved": None, "status": "open", "place": -2}}
    )
    before = await notified.view()

    stopped = await notified.command("rebuild")

    assert stopped.exit_code == 1
    assert stopped.differences == {
        str(s.relationship_id): f"open alert {s.alert_id()} would be taken from its clinician"
        for s in (unassigned, settled)
    }
    assert "2 open alerts would be taken from their clinicians, so nothing was swapped in" in stopped.stderr
    assert await notified.view() == before

    accepted = await notified.command("rebuild", "--accept-losses")

    assert accepted.exit_code == 0, accepted
    alert_by_id = {alert["_id"]: alert for alert in (await notified.view())["alerts"]}
    assert alert_by_id[unassigned.alert_id()]["clinician_id"] is None
    assert alert_by_id[settled.alert_id()]["status"] == "resolved"


async def test_an_alert_whose_end_the_service_has_not_consumed_yet_is_no_loss(
    notified: PreparedService, kafka: Producer
) -> None:
    s = create_builder(16)
    await kafka.publish([s.repaired(9), s.updated(9)])

    result = await notified.command("rebuild")

    assert result.exit_code == 0, result
    assert str(s.relationship_id) in result.differences
    (alert,) = [alert for alert in (await notified.view())["alerts"] if alert["_id"] == s.alert_id()]
    assert alert["status"] == "repaired"


@asynccontextmanager
async def _unstamped(servers: str) -> AsyncIterator[None]:
    """The topic of intake as an older version created it: records carry their senders' timestamps."""
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    settings = {"retention.ms": "-1", "message.timestamp.type": "CreateTime"}
    await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, INTAKE.name, settings)])
    await admin.close()
    yield
    assert await stamp_on_append(servers, [INTAKE.name]) == [INTAKE.name]


async def _send(servers: str, event: Event, sent_at_ms: int) -> None:
    async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
        await producer.send_and_wait(INTAKE.name, encode(event), str(event.key).encode(), timestamp_ms=sent_at_ms)


async def _dead_letter(kafka: Producer, servers: str, event: Event) -> None:
    """As if notify had not been able to handle the event, wherever it is."""
    records = [record for record in await read_records(servers, INTAKE) if record.value == encode(event)]
    dead_letters = [DeadLetter(record, HandlingError(OverflowError())) for record in records]
    await kafka.send([dead_letter_message(dead_letter, "notify", NOW) for dead_letter in dead_letters])
