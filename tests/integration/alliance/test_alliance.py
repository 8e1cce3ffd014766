"""The alliance service from outside: events on Kafka go in, scores and ruptures come out."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Literal
from uuid import UUID, uuid4

import httpx2
import pytest

from services.alliance.app import create_app
from services.alliance.settings import Settings
from shared.events import AllianceUpdated, Event, RuptureRetracted, RuptureSuspected
from shared.events.cloudevents import MAX_EVENT_BYTES, encode
from shared.events.topics import ALLIANCE, FEEDBACK, dead_letter_topic
from shared.kafka.dead_letters.record import ERROR_HEADER, ORIGIN_HEADER
from shared.kafka.producer import Message, Producer
from shared.mongo.client import Mongo
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events, read_records
from tests.support.serving import ServiceClient, run_app, wait_until


def settings(kafka_servers: str, mongodb_uri: str, driver: Literal["motor", "pymongo"] = "motor") -> Settings:
    return Settings(
        kafka_bootstrap_servers=kafka_servers,
        mongodb_uri=mongodb_uri,
        mongodb_database=f"test_{uuid4().hex}",
        mongodb_driver=driver,
    )


async def has_fields(client: httpx2.AsyncClient, relationship: UUID, **expected: object) -> bool:
    response = await client.get(f"/relationships/{relationship}")
    body = response.json()
    return response.status_code == 200 and all(body[name] == value for name, value in expected.items())


def ruptured_history(builder: RelationshipBuilder) -> list[Event]:
    """Three sessions with good ratings, and a fourth with a very different one."""
    weeks = [event for week in range(3) for event in (builder.completed(week), builder.feedback(week, 9))]
    return [
        builder.started(),
        builder.consent_changed(-0.5, given=True),
        *weeks,
        builder.completed(3),
        builder.feedback(3, 5),
    ]


@pytest.mark.parametrize("driver", ["motor", "pymongo"])
async def test_a_rupture_is_published_with_its_reasons(
    kafka: Producer, kafka_servers: str, mongodb_uri: str, driver: Literal["motor", "pymongo"]
) -> None:
    builder = RelationshipBuilder()
    async with run_app(create_app(settings(kafka_servers, mongodb_uri, driver))) as client:
        await kafka.publish(ruptured_history(builder))
        await wait_until(lambda: has_fields(client, builder.relationship_id, sessions=4, client_ratings=4))

        view = (await client.get(f"/relationships/{builder.relationship_id}")).json()
        assert view["open_episode"]["severity"] == "concern"
        (why,) = view["open_episode"]["why"]
        assert why.endswith(
            "after session 4: the client's rating was 5 of 10 "
            "(so far usually 8.4 to 9.6, from few ratings here and this clinic's)."
        )
        assert "Shows signs of rupture." in view["explanation"]

        points = (await client.get(f"/relationships/{builder.relationship_id}/trajectory")).json()["points"]
        assert [point["rating"] for point in points] == [90, 90, 90, 50]

        clinician = view["clinician_id"]
        listed = (await client.get(f"/clinicians/{clinician}/relationships")).json()["relationships"]
        assert [r["relationship_id"] for r in listed] == [str(builder.relationship_id)]

    published = await read_events(kafka_servers, ALLIANCE, builder.relationship_id)
    assert {type(event) for event in published} >= {AllianceUpdated, RuptureSuspected}
    assert len({event.id for event in published}) == len(published)


async def test_the_same_events_redelivered_in_any_order_give_the_same_alliance(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    forwards, backwards = RelationshipBuilder(), RelationshipBuilder()
    async with run_app(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.publish(ruptured_history(forwards))
        for event in reversed(ruptured_history(backwards)):
            await kafka.publish([event, event])
        for builder in (forwards, backwards):
            await wait_until(partial(has_fields, client, builder.relationship_id, sessions=4, client_ratings=4))

        views = [(await client.get(f"/relationships/{each.relationship_id}")).json() for each in (forwards, backwards)]
        assert views[0]["level"] == views[1]["level"]
        assert views[0]["open_episode"]["why"] == views[1]["open_episode"]["why"]


async def test_an_amended_answer_retracts_the_rupture_that_it_had_caused(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = RelationshipBuilder()
    async with run_app(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.publish([*ruptured_history(builder), builder.amended(3, 9)])
        await wait_until(lambda: has_fields(client, builder.relationship_id, client_ratings=4, open_episode=None))

    async def is_retracted() -> bool:
        return any(
            isinstance(event, RuptureRetracted)
            for event in await read_events(kafka_servers, ALLIANCE, builder.relationship_id)
        )

    await wait_until(is_retracted)


async def test_an_erased_client_stays_erased_when_later_events_arrive(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = RelationshipBuilder()
    service_settings = settings(kafka_servers, mongodb_uri)
    mongo = Mongo(mongodb_uri, service_settings.mongodb_database)

    async def has_only_erasure() -> bool:
        return [event["_id"] async for event in mongo["facts"].find()] == [builder.erased(4).id]

    async with run_app(create_app(service_settings)) as client:
        await kafka.publish([*ruptured_history(builder), builder.erased(4)])
        await wait_until(has_only_erasure)
        await kafka.publish([builder.completed(5), builder.feedback(5)])
        assert (await client.get(f"/relationships/{builder.relationship_id}")).status_code == 404
    await wait_until(has_only_erasure)
    await mongo.close()


async def test_a_message_that_cannot_be_decoded_is_dead_lettered_and_the_rest_is_handled(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = RelationshipBuilder()
    key = str(builder.relationship_id).encode()
    rating = encode(builder.feedback(0, 9))
    future_event = builder.feedback(1).model_copy(update={"occurred_at": datetime.now(UTC) + timedelta(days=365)})
    undecodable = {
        b"not json at all": "is not JSON",
        b'{"specversion":"1.0"}': "missing",
        rating.replace(b'"trust":9.0', b'"trust":99.0'): "ratings",
        rating.replace(b'"time":"2026-01-05T12:00:00Z"', b'"time":"2026-01-05T12:00:00"'): "occurred_at",
        rating.replace(b'"talked_about":null', b'"talked_about":"yes"'): "talked about",
        encode(future_event): "future",
        b"x" * (MAX_EVENT_BYTES + 1): "larger",
    }
    unknown_type = rating.replace(b"clinic.feedback.submitted.v1", b"clinic.feedback.dreamt_of.v9")
    odd_headers = [("trace", b"\xff\xfe"), ("empty", b"")]

    async with run_app(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.send([Message(FEEDBACK.name, key, value) for value in (*undecodable, unknown_type)])
        await kafka.send([Message(FEEDBACK.name, key, encode(builder.feedback(0, 9)), odd_headers)])
        await kafka.publish([builder.consent_changed(-0.5, given=True), builder.completed(0)])
        await wait_until(lambda: has_fields(client, builder.relationship_id, sessions=1, client_ratings=1))

    dead_letters_found = [r for r in await read_records(kafka_servers, dead_letter_topic("alliance")) if r.key == key]
    assert {dead_letter.value for dead_letter in dead_letters_found} == set(undecodable)
    for dead_letter in dead_letters_found:
        headers = dict(dead_letter.headers)
        assert undecodable[dead_letter.value] in headers[ERROR_HEADER].decode()
        assert headers[ORIGIN_HEADER].decode().startswith(FEEDBACK.name)
        assert "99" not in headers[ERROR_HEADER].decode()


async def test_events_published_during_a_downtime_are_handled_after_the_restart(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = RelationshipBuilder()
    service_settings = settings(kafka_servers, mongodb_uri)
    async with run_app(create_app(service_settings)) as client:
        await kafka.publish([builder.consent_changed(-0.5, given=True), builder.completed(0), builder.feedback(0, 9)])
        await wait_until(lambda: has_fields(client, builder.relationship_id, sessions=1))
    await kafka.publish([builder.completed(1), builder.feedback(1, 9)])

    async with run_app(create_app(service_settings)) as client:
        await wait_until(lambda: has_fields(client, builder.relationship_id, sessions=2, client_ratings=2))


async def test_an_unknown_relationship_is_not_found(kafka_servers: str, mongodb_uri: str) -> None:
    async with run_app(create_app(settings(kafka_servers, mongodb_uri))) as client:
        response = await client.get(f"/relationships/{uuid4()}")
        malformed = await client.get("/relationships/anna")

    assert (response.status_code, response.json()["type"]) == (404, "urn:attune:problem:unknown-relationship")
    assert response.headers["content-type"] == "application/problem+json"
    assert (malformed.status_code, malformed.json()["errors"][0]["pointer"]) == (422, "/path/relationship_id")


async def test_metrics_count_events_and_contain_no_relationship_ids(
    kafka: Producer, kafka_servers: str, mongodb_uri: str
) -> None:
    builder = RelationshipBuilder()
    async with run_app(create_app(settings(kafka_servers, mongodb_uri))) as client:
        await kafka.publish([builder.consent_changed(-0.5, given=True), builder.completed(0), builder.feedback(0, 9)])
        await wait_until(lambda: has_counted_events(client))
        metrics = (await client.get_ops("/metrics")).text

    assert str(builder.relationship_id) not in metrics


async def has_counted_events(client: ServiceClient) -> bool:
    metrics_text = (await client.get_ops("/metrics")).text
    return 'attune_alliance_events_total{type="clinic.session.completed.v1"} 0.0' not in metrics_text
