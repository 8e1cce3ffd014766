"""The alliance service from outside: facts on Kafka go in, scores and ruptures come out."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Literal
from uuid import UUID, uuid4

import httpx2
import pytest

from services.alliance.app import create_app
from services.alliance.settings import Settings
from shared.events import AllianceUpdated, Event, RuptureRetracted, RuptureSuspected
from shared.events.cloudevents import LARGEST, encode
from shared.events.topics import ALLIANCE, FEEDBACK, dead_letters
from shared.kafka.dead_letters.record import ERROR, ORIGIN
from shared.kafka.producer import Message, Producer
from shared.mongo.client import Mongo
from tests.support.builders import Told
from tests.support.kafka_reader import records, told
from tests.support.serving import served, until


@pytest.fixture
async def kafka(kafka_servers: str) -> AsyncIterator[Producer]:
    producer = Producer(kafka_servers, "test")
    await producer.start()
    yield producer
    await producer.stop()


def settings(kafka_servers: str, mongodb_uri: str, driver: Literal["motor", "pymongo"] = "motor") -> Settings:
    return Settings(
        kafka_bootstrap_servers=kafka_servers,
        mongodb_uri=mongodb_uri,
        mongodb_database=f"test_{uuid4().hex}",
        mongodb_driver=driver,
    )


async def has(client: httpx2.AsyncClient, relationship: UUID, **expected: object) -> bool:
    response = await client.get(f"/relationships/{relationship}")
    body = response.json()
    return response.status_code == 200 and all(body[name] == value for name, value in expected.items())


def broken(relationship: Told) -> list[Event]:
    """Three good sessions, and a fourth that felt very different."""
    weeks = [event for week in range(3) for event in (relationship.held(week), relationship.felt(week, 9))]
    return [
        relationship.started(),
        relationship.consent(-0.5, given=True),
        *weeks,
        relationship.held(3),
        relationship.felt(3, 2),
    ]


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_rupture_is_told_with_its_reasons(
    kafka: Producer, kafka_servers: str, mongodb_uri: str, driver: Literal["motor", "pymongo"]
) -> None:
    builder = Told()
    async with served(create_app(settings(kafka_servers, mongodb_uri, driver))) as client:
        await kafka.tell(broken(builder))
        await until(lambda: has(client, builder.relationship, sessions=4, client_ratings=4))

        view = (await client.get(f"/relationships/{builder.relationship}")).json()
        assert view["open_episode"]["severity"] == "concern"
        assert (
            view["open_episode"]["why"][0] == "The client's rating fell to 20 after session 4 (usually 84 to 96 here)."
        )
        assert "Shows signs of rupture." in view["explanation"]

        points = (await client.get(f"/relationships/{builder.relationship}/trajectory")).json()["points"]
        assert [point["rating"] for point in points] == [90, 90, 90, 20]

        clinician = view["clinician_id"]
        listed = (await client.get(f"/clinicians/{clinician}/relationships")).json()["relationships"]
        assert [r["relationship_id"] for r in listed] == [str(builder.relationship)]

    published = await told(kafka_servers, ALLIANCE, builder.relationship)
    assert {type(event) for event in published} >= {AllianceUpdated, RuptureSuspected}
    assert len({event.id for event in published}) == len(published)


async def test_the_same_facts_again_and_in_any_order_give_the_same_alliance(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    forwards, backwards = Told(), Told()
    async with served(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.tell(broken(forwards))
        for event in reversed(broken(backwards)):
            await kafka.tell([event, event])
        for builder in (forwards, backwards):
            await until(lambda each=builder: has(client, each.relationship, sessions=4, client_ratings=4))  # type: ignore[misc]

        views = [(await client.get(f"/relationships/{each.relationship}")).json() for each in (forwards, backwards)]
        assert views[0]["level"] == views[1]["level"]
        assert views[0]["open_episode"]["why"] == views[1]["open_episode"]["why"]


async def test_an_amended_answer_takes_back_what_it_had_caused(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = Told()
    async with served(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.tell([*broken(builder), builder.amended(3, 9)])
        await until(lambda: has(client, builder.relationship, client_ratings=4, open_episode=None))

    async def retracted() -> bool:
        return any(
            isinstance(event, RuptureRetracted) for event in await told(kafka_servers, ALLIANCE, builder.relationship)
        )

    await until(retracted)


async def test_an_erased_client_is_forgotten_also_by_what_comes_later(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = Told()
    service_settings = settings(kafka_servers, mongodb_uri)
    mongo = Mongo(mongodb_uri, service_settings.mongodb_database)

    async def only_the_erasure_is_left() -> bool:
        return [event["_id"] async for event in mongo["facts"].find()] == [builder.erased(4).id]

    async with served(create_app(service_settings)) as client:
        await kafka.tell([*broken(builder), builder.erased(4)])
        await until(only_the_erasure_is_left)
        await kafka.tell([builder.held(5), builder.felt(5)])
        assert (await client.get(f"/relationships/{builder.relationship}")).status_code == 404
    await until(only_the_erasure_is_left)
    await mongo.close()


async def test_what_nobody_can_read_is_set_aside_with_its_origin_and_the_rest_goes_on(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = Told()
    key = str(builder.relationship).encode()
    rating = encode(builder.felt(0, 9))
    future_event = builder.felt(1).model_copy(update={"occurred_at": datetime.now(UTC) + timedelta(days=365)})
    undecodable = {
        b"not json at all": "is not JSON",
        b'{"specversion":"1.0"}': "missing",
        rating.replace(b'"trust":9.0', b'"trust":99.0'): "ratings",
        rating.replace(b'"time":"2026-01-05T12:00:00Z"', b'"time":"2026-01-05T12:00:00"'): "occurred_at",
        rating.replace(b'"talked_about":null', b'"talked_about":"yes"'): "talked about",
        encode(future_event): "future",
        b"x" * (LARGEST + 1): "larger",
    }
    unknown_type = rating.replace(b"clinic.feedback.submitted.v1", b"clinic.feedback.dreamt_of.v9")
    odd_headers = [("trace", b"\xff\xfe"), ("empty", b"")]

    async with served(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.send([Message(FEEDBACK.name, key, value) for value in (*undecodable, unknown_type)])
        await kafka.send([Message(FEEDBACK.name, key, encode(builder.felt(0, 9)), odd_headers)])
        await kafka.tell([builder.consent(-0.5, given=True), builder.held(0)])
        await until(lambda: has(client, builder.relationship, sessions=1, client_ratings=1))

    dead_letters_found = [r for r in await records(kafka_servers, dead_letters("alliance")) if r.key == key]
    assert {dead_letter.value for dead_letter in dead_letters_found} == set(undecodable)
    for dead_letter in dead_letters_found:
        headers = dict(dead_letter.headers)
        assert undecodable[dead_letter.value] in headers[ERROR].decode()
        assert headers[ORIGIN].decode().startswith(FEEDBACK.name)
        assert "99" not in headers[ERROR].decode()


async def test_facts_told_while_the_service_is_away_are_taken_in_when_it_is_back(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = Told()
    service_settings = settings(kafka_servers, mongodb_uri)
    async with served(create_app(service_settings)) as client:
        await kafka.tell([builder.consent(-0.5, given=True), builder.held(0), builder.felt(0, 9)])
        await until(lambda: has(client, builder.relationship, sessions=1))
    await kafka.tell([builder.held(1), builder.felt(1, 9)])

    async with served(create_app(service_settings)) as client:
        await until(lambda: has(client, builder.relationship, sessions=2, client_ratings=2))


async def test_an_unknown_relationship_is_said_to_be_unknown(kafka_servers: str, mongodb_uri: str) -> None:
    async with served(create_app(settings(kafka_servers, mongodb_uri))) as client:
        response = await client.get(f"/relationships/{uuid4()}")
        malformed = await client.get("/relationships/anna")

    assert (response.status_code, response.json()["type"]) == (404, "urn:attune:problem:unknown-relationship")
    assert response.headers["content-type"] == "application/problem+json"
    assert (malformed.status_code, malformed.json()["errors"][0]["pointer"]) == (422, "/path/relationship_id")


async def test_numbers_are_shown_to_those_who_operate_it(kafka: Producer, kafka_servers: str, mongodb_uri: str) -> None:
    builder = Told()
    async with served(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.tell([builder.consent(-0.5, given=True), builder.held(0), builder.felt(0, 9)])
        await until(lambda: counted(client))
        metrics = (await client.get("/metrics")).text

    assert str(builder.relationship) not in metrics


async def counted(client: httpx2.AsyncClient) -> bool:
    metrics_text = (await client.get("/metrics")).text
    return 'attune_alliance_facts_total{type="clinic.session.completed.v1"} 0.0' not in metrics_text
