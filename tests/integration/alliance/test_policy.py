"""The policy of a clinic, and the dispositions of its clinicians, from outside."""

from collections.abc import Sequence
from pathlib import Path
from uuid import UUID, uuid4, uuid5

import httpx2
import pytest

from services.alliance.app import create_app
from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policy
from services.alliance.settings import Settings
from shared.events import AlertResolved, AllianceUpdated, Event, RuptureEnded
from shared.events.topics import ALLIANCE
from shared.kafka.producer import Producer
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events
from tests.support.serving import ServiceClient, run_app, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def settings(kafka_servers: str, mongodb_uri: str, tmp_path: Path) -> Settings:
    return Settings(
        kafka_bootstrap_servers=kafka_servers,
        mongodb_uri=mongodb_uri,
        mongodb_database=f"test_{uuid4().hex}",
        policy_dir=tmp_path,
    )


async def policy_of(client: httpx2.AsyncClient, relationship: UUID, ratings: int) -> str | None:
    """The policy of the relationship's state, once it contains this many ratings."""
    response = await client.get(f"/relationships/{relationship}")
    body = response.json()
    return body["policy"] if response.status_code == 200 and body["client_ratings"] == ratings else None


def ruptured_history(builder: RelationshipBuilder) -> list[Event]:
    weeks = [
        event for week in range(4) for event in (builder.completed(week), builder.feedback(week, 9 if week < 3 else 5))
    ]
    return [builder.consent_changed(-0.5, given=True), *weeks]


async def test_a_relationship_is_folded_under_the_policy_of_its_clinic_once_the_clinic_is_known(
    kafka: Producer, kafka_servers: str, settings: Settings, tmp_path: Path
) -> None:
    builder = RelationshipBuilder()
    clinic = builder.started().clinic_id
    (tmp_path / f"{clinic}.toml").write_text("base_rate = 0.15\nconcern = 0.98\nurgent = 0.99\n")
    first, second = Policy(concern=0.98, urgent=0.99), Policy(concern=0.5, urgent=0.6)

    async def has_policy(client: httpx2.AsyncClient, policy: Policy, ratings: int) -> bool:
        return await policy_of(client, builder.relationship_id, ratings) == policy.digest

    async with run_app(create_app(settings)) as client:
        await kafka.publish(ruptured_history(builder))
        await wait_until(lambda: has_policy(client, DEFAULT_POLICY, 4))
        await kafka.publish([builder.started()])
        await wait_until(lambda: has_policy(client, first, 4))
        view = (await client.get(f"/relationships/{builder.relationship_id}")).json()
        assert view["open_episode"] is None or view["open_episode"]["severity"] == "watch"

    (tmp_path / f"{clinic}.toml").write_text("base_rate = 0.15\nconcern = 0.5\nurgent = 0.6\n")
    last_events = [builder.completed(4), builder.feedback(4, 5)]
    async with run_app(create_app(settings)) as client:
        assert await policy_of(client, builder.relationship_id, 4) == first.digest  # until its next event
        await kafka.publish(last_events)
        await wait_until(lambda: has_policy(client, second, 5))
        view = (await client.get(f"/relationships/{builder.relationship_id}")).json()

    expected = fold([*ruptured_history(builder), builder.started(), *last_events], second)  # type: ignore[list-item]
    assert expected.open_episode
    assert view["open_episode"]["episode_id"] == str(expected.open_episode.id)
    assert view["open_episode"]["severity"] == expected.open_episode.severity
    published = await read_events(kafka_servers, ALLIANCE, builder.relationship_id)
    policies = [event.policy for event in published if isinstance(event, AllianceUpdated)]
    assert set(policies) == {DEFAULT_POLICY.digest, first.digest, second.digest}
    assert policies[-1] == second.digest


async def test_a_resolved_alert_ends_its_episode_and_is_counted_for_its_detectors(
    kafka: Producer, settings: Settings, kafka_servers: str
) -> None:
    builder = RelationshipBuilder()
    async with run_app(create_app(settings)) as client:
        await kafka.publish([builder.started(), *ruptured_history(builder)])
        await wait_until(lambda: _has_ratings(client, builder.relationship_id, 4))
        view = (await client.get(f"/relationships/{builder.relationship_id}")).json()
        episode = UUID(view["open_episode"]["episode_id"])
        resolved = AlertResolved(
            id=uuid5(episode, "resolved"),
            occurred_at=builder.at(5),
            relationship_id=builder.relationship_id,
            alert_id=uuid5(episode, "alert"),
            episode_id=episode,
            clinician_id=builder.started().clinician_id,
            useful=False,
        )
        await kafka.publish([resolved, resolved])
        await wait_until(
            lambda: _counts(client, 'attune_alliance_alert_dispositions_total{detector="sudden_drop",useful="no"}')
        )
        after = (await client.get(f"/relationships/{builder.relationship_id}")).json()

    assert [(d["episode_id"], d["useful"]) for d in after.pop("dispositions")] == [(str(episode), False)]
    assert view.pop("dispositions") == []
    assert (after["open_episode"], after["standing"]) == (None, "calm")
    end = {"closed_at": "2026-02-09T10:00:00Z", "reason": "resolved", "superseded_by": None, "shift": None}
    assert after["last_ended"] == view["open_episode"] | end
    published = await read_events(kafka_servers, ALLIANCE, builder.relationship_id)
    ends = [(event.episode_id, event.reason) for event in published if isinstance(event, RuptureEnded)]
    assert set(ends) == {(episode, "resolved")}


async def _has_ratings(client: httpx2.AsyncClient, relationship: UUID, ratings: int) -> bool:
    return await policy_of(client, relationship, ratings) is not None


async def _counts(client: ServiceClient, metric: str) -> bool:
    lines: Sequence[str] = (await client.get_ops("/metrics")).text.splitlines()
    return any(line.startswith(metric) and float(line.rsplit(" ", 1)[1]) >= 1 for line in lines)
