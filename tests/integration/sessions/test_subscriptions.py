"""Events about relationships: in any order, repeated, late, concurrent, and impossible to decode."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord

from services.sessions.domain.relationship import Relationship, evolve
from services.sessions.handlers import handle_batch
from shared.events import ConsentGiven, ConsentWithdrawn, Event
from shared.events.cloudevents import encode
from shared.events.topics import INTAKE, dead_letter_topic
from shared.kafka.dead_letters.record import ERROR_HEADER, ORIGIN_HEADER
from shared.kafka.producer import Message
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_records
from tests.support.serving import wait_until
from tests.support.sessions_client import SessionsClient, ago
from tests.support.sessions_process import SessionsProcess

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_batches_may_arrive_in_any_order_and_repeatedly(mongodb_uri: str) -> None:
    relationships = [RelationshipBuilder() for _ in range(40)]
    events: list[Event] = []
    for relationship in relationships:
        consent_given = ConsentGiven(
            id=uuid4(), occurred_at=relationship.at(0), relationship_id=relationship.relationship_id
        )
        consent_withdrawn = ConsentWithdrawn(
            id=uuid4(), occurred_at=relationship.at(1), relationship_id=relationship.relationship_id
        )
        events += [relationship.ended(30), consent_withdrawn, consent_given, relationship.started()]
    process = SessionsProcess(mongodb_uri, f"test_{uuid4().hex}")

    await handle_batch(events[:90], process.store)
    await handle_batch([*reversed(events), *events[:5]], process.store)

    loaded = await process.store.load_relationships([relationship.relationship_id for relationship in relationships])
    assert loaded == {
        relationship.relationship_id: Relationship(
            relationship_id=relationship.relationship_id,
            started_at=relationship.started().occurred_at,
            clinic_id=relationship.started().clinic_id,
            clinician_id=relationship.started().clinician_id,
            case_code="AB-12",
            ended_at=relationship.at(30),
            consent=False,
            consent_at=relationship.at(1),
        )
        for relationship in relationships
    }
    await process.mongo.close()


async def test_concurrent_updates_of_a_relationship_are_all_kept(mongodb_uri: str) -> None:
    """Another process writes between the load and the save, so the update is decided again."""
    builder, process = RelationshipBuilder(), SessionsProcess(mongodb_uri, f"test_{uuid4().hex}")
    consent_given = ConsentGiven(id=uuid4(), occurred_at=builder.at(0), relationship_id=builder.relationship_id)
    decided_on: list[Relationship] = []

    async def write_concurrently() -> None:
        other_process = SessionsProcess(mongodb_uri, process.mongo.database.name)
        await handle_batch([consent_given], other_process.store)
        await other_process.mongo.close()

    def decide(relationship: Relationship) -> Relationship:
        if not decided_on:
            with ThreadPoolExecutor() as another_thread:
                another_thread.submit(asyncio.run, write_concurrently()).result()
        decided_on.append(relationship)
        return evolve(relationship, builder.started())

    await process.store.update_relationships([builder.relationship_id], decide)

    relationship = await process.store.find_relationship(None, builder.relationship_id)
    assert relationship is not None
    assert relationship.consent
    assert relationship.started_at is not None
    assert [loaded.consent for loaded in decided_on] == [False, True]
    await process.mongo.close()


@pytest.mark.parametrize(
    "poison",
    [
        b"\xff\xfe not JSON",
        b'{"specversion": "1.0"}',
        encode(RelationshipBuilder().started()).replace(b'"cadence_days":7', b'"cadence_days":"often"'),
        encode(RelationshipBuilder().started()).replace(b"2026-", b"9999-", 1),
        encode(RelationshipBuilder().started()).replace(b"2026-01-02T10:00:00Z", b"0001-01-01T00:00:00+14:00", 1),
    ],
)
async def test_a_message_that_cannot_be_decoded_is_dead_lettered_unchanged_and_the_rest_is_handled(
    clinic: SessionsClient, kafka_servers: str, poison: bytes
) -> None:
    key = str(clinic.relationship_id).encode()
    headers = [("sent-by", b"a test \xff")]
    unknown_type = encode(RelationshipBuilder().started()).replace(
        b"clinic.relationship.started.v1", b"clinic.relationship.dreamt.v1"
    )

    await clinic.producer.send(
        [
            Message(INTAKE.name, key, poison, headers),
            Message(INTAKE.name, key, unknown_type, []),
            Message(INTAKE.name, key, encode(clinic.builder.started()), []),
        ]
    )

    async def is_known() -> bool:
        return (await clinic.schedule(uuid4(), ago(-1))).status_code == 200

    await wait_until(is_known)
    (record,) = [r for r in await read_records(kafka_servers, INTAKE) if (r.key, r.value) == (key, poison)]

    async def dead_letters() -> list[ConsumerRecord]:
        return [r for r in await read_records(kafka_servers, dead_letter_topic("sessions")) if r.key == key]

    async def is_dead_lettered() -> bool:
        return bool(await dead_letters())

    await wait_until(is_dead_lettered)
    (dead_letter,) = await dead_letters()
    assert dead_letter.value == poison
    headers_of_dead_letter = dict(dead_letter.headers)
    assert headers_of_dead_letter[ORIGIN_HEADER] == f"{INTAKE.name}/{record.partition}/{record.offset}".encode()
    assert headers_of_dead_letter[ERROR_HEADER]
