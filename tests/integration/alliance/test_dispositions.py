"""What clinicians decided about alerts, as the relationship shows it, in whatever order it arrives."""

from collections.abc import Sequence
from functools import partial
from itertools import permutations
from uuid import uuid4, uuid5

import httpx2

from services.alliance.app import create_app
from services.alliance.settings import Settings
from shared.events import AlertReopened, AlertResolved, Event
from shared.kafka.producer import Producer
from tests.support.builders import RelationshipBuilder
from tests.support.serving import run_app, wait_until


def dispositions(builder: RelationshipBuilder) -> Sequence[Event]:
    """A resolution that is taken back, a second one, the reopening of an acknowledgement, and a last resolution."""
    episode = uuid5(builder.relationship_id, "episode")
    fields = {
        "relationship_id": builder.relationship_id,
        "alert_id": uuid5(episode, "alert"),
        "episode_id": episode,
        "clinician_id": builder.started().clinician_id,
    }
    first, second, last = (
        AlertResolved(id=uuid4(), occurred_at=builder.at(week), useful=useful, **fields)
        for week, useful in ((1, False), (3, True), (4, None))
    )
    back, other = (
        AlertReopened(id=uuid4(), occurred_at=builder.at(2), severity="concern", disposition_id=id, **fields)
        for id in (first.id, uuid4())
    )
    return first, back, second, other, last


async def test_a_relationship_shows_the_dispositions_that_were_not_taken_back_in_any_order(
    kafka: Producer, settings: Settings
) -> None:
    builders = [RelationshipBuilder(uuid4()) for _ in permutations(range(4))]
    async with run_app(create_app(settings)) as client:
        await kafka.publish([builder.started() for builder in builders])
        for builder, order in zip(builders, permutations(range(4)), strict=True):
            events = dispositions(builder)
            await kafka.publish([events[index] for index in (*order, *order, 4)])
        for builder in builders:
            await wait_until(partial(shows_dispositions, client, builder, [None, True]))
        await kafka.publish([builders[0].erased(5)])
        await wait_until(lambda: is_unknown(client, builders[0]))


async def shows_dispositions(
    client: httpx2.AsyncClient, builder: RelationshipBuilder, useful: list[bool | None]
) -> bool:
    response = await client.get(f"/relationships/{builder.relationship_id}")
    return response.status_code == 200 and [d["useful"] for d in response.json()["dispositions"]] == list(useful)


async def is_unknown(client: httpx2.AsyncClient, builder: RelationshipBuilder) -> bool:
    return (await client.get(f"/relationships/{builder.relationship_id}")).status_code == 404
