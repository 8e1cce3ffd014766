"""What the service hears of relationships: in any order, again, late, and what nobody can read."""

from uuid import UUID, uuid4

import pytest

from services.sessions.domain.relationship import Relationship
from services.sessions.handlers import hear
from shared.events import ConsentGiven, ConsentWithdrawn, Event
from shared.events.cloudevents import encode
from shared.events.topics import INTAKE, dead_letters
from shared.kafka.dead_letters.record import ERROR, ORIGIN
from shared.kafka.producer import Message
from tests.integration.sessions.test_lapse import Process
from tests.support.builders import Told
from tests.support.kafka_reader import records
from tests.support.serving import until
from tests.support.sessions_client import Clinic, ago

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


async def test_a_batch_is_learned_in_any_order_and_again(mongodb_uri: str, kafka_servers: str) -> None:
    relationships = [Told() for _ in range(40)]
    events: list[Event] = []
    for relationship in relationships:
        consent_given = ConsentGiven(
            id=uuid4(), occurred_at=relationship.at(0), relationship_id=relationship.relationship
        )
        consent_withdrawn = ConsentWithdrawn(
            id=uuid4(), occurred_at=relationship.at(1), relationship_id=relationship.relationship
        )
        events += [relationship.ended(30), consent_withdrawn, consent_given, relationship.started()]
    process = Process(kafka_servers, mongodb_uri, f"test_{uuid4().hex}")

    await hear(events[:90], process.store)
    await hear([*reversed(events), *events[:5]], process.store)

    loaded = await process.store.relationships([relationship.relationship for relationship in relationships])
    assert loaded == {
        relationship.relationship: Relationship(
            relationship_id=relationship.relationship,
            started_at=relationship.started().occurred_at,
            case_code="AB-12",
            ended_at=relationship.at(30),
            consent=False,
            consent_at=relationship.at(1),
        )
        for relationship in relationships
    }
    await process.mongo.close()


async def test_what_two_learn_at_once_is_all_kept(mongodb_uri: str, kafka_servers: str) -> None:
    """Somebody else writes between our reading and our writing: it is decided anew."""
    builder, process = Told(), Process(kafka_servers, mongodb_uri, f"test_{uuid4().hex}")
    consent_given = ConsentGiven(id=uuid4(), occurred_at=builder.at(0), relationship_id=builder.relationship)
    has_interfered = False

    async def others() -> None:
        other_process = Process(kafka_servers, mongodb_uri, process.mongo.database.name)
        await hear([consent_given], other_process.store)
        await other_process.mongo.close()

    load_documents = process.store._found

    async def found_just_before_the_others_wrote(ids: list[UUID]) -> object:
        nonlocal has_interfered
        documents = await load_documents(ids)
        if not has_interfered:
            has_interfered = True
            await others()
        return documents

    process.store._found = found_just_before_the_others_wrote  # type: ignore[assignment, method-assign]
    await hear([builder.started()], process.store)

    relationship = await process.store.relationship(builder.relationship)
    assert relationship is not None
    assert relationship.consent
    assert relationship.started_at is not None
    await process.mongo.close()


@pytest.mark.parametrize(
    "poison",
    [
        b"\xff\xfe not JSON",
        b'{"specversion": "1.0"}',
        encode(Told().started()).replace(b'"cadence_days":7', b'"cadence_days":"often"'),
        encode(Told().started()).replace(b"2026-", b"9999-", 1),
        encode(Told().started()).replace(b"2026-01-02T10:00:00Z", b"0001-01-01T00:00:00+14:00", 1),
    ],
)
async def test_what_nobody_can_read_is_set_aside_byte_for_byte_and_the_rest_goes_on(
    clinic: Clinic, kafka_servers: str, poison: bytes
) -> None:
    key = str(clinic.relationship).encode()
    headers = [("sent-by", b"a test \xff")]
    unknown_type = encode(Told().started()).replace(b"clinic.relationship.started.v1", b"clinic.relationship.dreamt.v1")

    await clinic.kafka.send(
        [
            Message(INTAKE.name, key, poison, headers),
            Message(INTAKE.name, key, unknown_type, []),
            Message(INTAKE.name, key, encode(clinic.told.started()), []),
        ]
    )

    async def known() -> bool:
        return (await clinic.schedule(uuid4(), ago(-1))).status_code == 200

    await until(known)
    (record,) = [
        candidate
        for candidate in await records(kafka_servers, INTAKE)
        if candidate.key == key and candidate.value == poison
    ]

    async def set_aside() -> bool:
        return any(candidate.key == key for candidate in await records(kafka_servers, dead_letters("sessions")))

    await until(set_aside)
    (dead_letter,) = [
        candidate for candidate in await records(kafka_servers, dead_letters("sessions")) if candidate.key == key
    ]
    assert dead_letter.value == poison
    headers_of_dead_letter = dict(dead_letter.headers)
    assert headers_of_dead_letter[ORIGIN] == f"{INTAKE.name}/{record.partition}/{record.offset}".encode()
    assert headers_of_dead_letter[ERROR]
