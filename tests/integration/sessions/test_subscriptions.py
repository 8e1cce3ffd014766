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
    ours = [Told() for _ in range(40)]
    events: list[Event] = []
    for one in ours:
        given = ConsentGiven(id=uuid4(), occurred_at=one.at(0), relationship_id=one.relationship)
        withdrawn = ConsentWithdrawn(id=uuid4(), occurred_at=one.at(1), relationship_id=one.relationship)
        events += [one.ended(30), withdrawn, given, one.started()]
    process = Process(kafka_servers, mongodb_uri, f"test_{uuid4().hex}")

    await hear(events[:90], process.store)
    await hear([*reversed(events), *events[:5]], process.store)

    known = await process.store.relationships([one.relationship for one in ours])
    assert known == {
        one.relationship: Relationship(
            relationship_id=one.relationship,
            started_at=one.started().occurred_at,
            case_code="AB-12",
            ended_at=one.at(30),
            consent=False,
            consent_at=one.at(1),
        )
        for one in ours
    }
    await process.mongo.close()


async def test_what_two_learn_at_once_is_all_kept(mongodb_uri: str, kafka_servers: str) -> None:
    """Somebody else writes between our reading and our writing: it is decided anew."""
    told, process = Told(), Process(kafka_servers, mongodb_uri, f"test_{uuid4().hex}")
    given = ConsentGiven(id=uuid4(), occurred_at=told.at(0), relationship_id=told.relationship)
    came_between = False

    async def others() -> None:
        other = Process(kafka_servers, mongodb_uri, process.mongo.database.name)
        await hear([given], other.store)
        await other.mongo.close()

    found = process.store._found

    async def found_just_before_the_others_wrote(ids: list[UUID]) -> object:
        nonlocal came_between
        known = await found(ids)
        if not came_between:
            came_between = True
            await others()
        return known

    process.store._found = found_just_before_the_others_wrote  # type: ignore[assignment, method-assign]
    await hear([told.started()], process.store)

    known = await process.store.relationship(told.relationship)
    assert known is not None
    assert known.consent
    assert known.started_at is not None
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
    unknown = encode(Told().started()).replace(b"clinic.relationship.started.v1", b"clinic.relationship.dreamt.v1")

    await clinic.kafka.send(
        [
            Message(INTAKE.name, key, poison, headers),
            Message(INTAKE.name, key, unknown, []),
            Message(INTAKE.name, key, encode(clinic.told.started()), []),
        ]
    )

    async def known() -> bool:
        return (await clinic.schedule(uuid4(), ago(-1))).status_code == 200

    await until(known)
    (sent,) = [r for r in await records(kafka_servers, INTAKE) if r.key == key and r.value == poison]

    async def set_aside() -> bool:
        return any(r.key == key for r in await records(kafka_servers, dead_letters("sessions")))

    await until(set_aside)
    (letter,) = [r for r in await records(kafka_servers, dead_letters("sessions")) if r.key == key]
    assert letter.value == poison
    causes = dict(letter.headers)
    assert causes[ORIGIN] == f"{INTAKE.name}/{sent.partition}/{sent.offset}".encode()
    assert causes[ERROR]
