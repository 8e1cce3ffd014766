"""What was noted by mistake, or must not count, seen from outside: events on Kafka go in, the alliance comes out."""

from functools import partial

from services.alliance.app import create_app
from services.alliance.settings import Settings
from shared.events import RuptureRetracted
from shared.events.topics import ALLIANCE
from shared.kafka.producer import Producer
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events
from tests.support.serving import run_app, wait_until


async def test_sessions_missed_without_consent_do_not_count_when_it_is_given_again(
    kafka: Producer, settings: Settings
) -> None:
    builder = RelationshipBuilder()
    async with run_app(create_app(settings)) as client:
        await kafka.publish([builder.started(), builder.consent_changed(-0.5, given=True), builder.completed(0)])
        await kafka.publish([builder.consent_changed(0.5, given=False), builder.missed(1), builder.missed(2)])
        await kafka.publish([builder.consent_changed(2.5, given=True), builder.missed(3), builder.completed(4)])

        async def is_complete() -> bool:
            response = await client.get(f"/relationships/{builder.relationship_id}")
            return response.status_code == 200 and response.json()["sessions"] == 2 and response.json()["missed"] >= 1

        await wait_until(is_complete)
        view = (await client.get(f"/relationships/{builder.relationship_id}")).json()

    assert (view["missed"], view["open_episode"]) == (1, None)


async def test_the_sign_of_a_no_show_noted_by_mistake_is_retracted_as_corrected(
    kafka: Producer, kafka_servers: str, settings: Settings
) -> None:
    builder = RelationshipBuilder()
    async with run_app(create_app(settings)) as client:

        async def has_open_episode(expected: bool) -> bool:
            response = await client.get(f"/relationships/{builder.relationship_id}")
            return response.status_code == 200 and bool(response.json()["open_episode"]) == expected

        await kafka.publish([builder.started(), builder.consent_changed(-0.5, given=True), builder.completed(0)])
        await kafka.publish([builder.missed(1), builder.missed(2)])
        await wait_until(partial(has_open_episode, True))

        await kafka.publish([builder.corrected(builder.completed(1), 1, 2.5)])
        await wait_until(partial(has_open_episode, False))
        view = (await client.get(f"/relationships/{builder.relationship_id}")).json()
        assert (view["sessions"], view["missed"]) == (2, 1)

    async def is_retracted() -> bool:
        events = await read_events(kafka_servers, ALLIANCE, builder.relationship_id)
        return [event.reason for event in events if isinstance(event, RuptureRetracted)] == ["amended"]

    await wait_until(is_retracted)
