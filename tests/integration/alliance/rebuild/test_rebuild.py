"""Rebuilding alliance's view as operators do: what is restored, corrected and published, also beside the service."""

import asyncio
from uuid import UUID, uuid4

import pytest

from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.rebuild import VIEW_SOURCE, view_factory
from services.alliance.settings import Settings
from shared.events import AllianceUpdated, RuptureEvent
from shared.events.cloudevents import encode
from shared.events.topics import ALLIANCE
from shared.kafka.producer import Producer
from shared.rebuild import commands
from shared.runtime.commands import parse_arguments
from tests.integration.alliance.rebuild.recorded_alliance import (
    END_NEW_WEEK,
    FIRST_NEW_WEEK,
    RELATIONSHIP_COUNT,
    RecordedAlliance,
    damage,
)
from tests.support.builders import RelationshipBuilder
from tests.support.kafka_reader import read_events, read_records
from tests.support.service_process import PARTITIONS, count_tasks_by_phase, insert_staged_rebuild, wait_for_exit
from tests.support.serving import wait_until

pytestmark = pytest.mark.integration


async def test_a_reopening_that_is_missing_is_reported_and_restored(projected_alliance: RecordedAlliance) -> None:
    await projected_alliance.commit_all()
    before = await projected_alliance.contents()
    lost = await projected_alliance.mongo["reopenings"].find_one_and_delete({})
    assert lost

    verified = await projected_alliance.run_command("verify")
    rebuilt = await projected_alliance.run_command("rebuild")

    assert verified.differences == {str(lost["relationship"]): "1 reopenings missing"}, verified
    assert verified.exit_code == 1
    assert rebuilt.exit_code == 0, rebuilt
    assert await projected_alliance.contents() == before


async def test_a_rebuild_repairs_a_damaged_view_and_publishes_the_corrected_states(
    projected_alliance: RecordedAlliance,
) -> None:
    before, versions = await projected_alliance.contents(), await projected_alliance.versions()
    damaged = await damage(projected_alliance)

    result = await projected_alliance.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await projected_alliance.contents() == before
    assert (result.count_of("relationships corrected"), result.count_of("relationships restored")) == (4, 1)
    reported = result.differences
    assert reported[str(damaged["states"][0])] == "unreadable"
    assert reported[str(damaged["states"][2])] == "concern, level"
    assert result.count_of("events restored") == len(projected_alliance.histories[damaged["events"][0]]) + 2
    assert result.count_of("events corrected") == 1
    assert result.count_of("dispositions restored") == len(before["judgements"])
    versions_after = await projected_alliance.versions()
    for r, version in versions.items():
        assert versions_after[r] == version + (r in damaged["states"])
    for r in damaged["states"]:
        assert versions_after[r] in [
            event.version
            for event in await read_events(projected_alliance.servers, ALLIANCE, r)
            if isinstance(event, AllianceUpdated)
        ]


async def test_a_rebuild_of_a_correct_view_changes_and_publishes_nothing(
    projected_alliance: RecordedAlliance,
) -> None:
    before, versions, published_before = (
        await projected_alliance.contents(),
        await projected_alliance.versions(),
        await count_published(projected_alliance),
    )

    result = await projected_alliance.run_command("rebuild")

    repairs = [
        line for line in result.stdout.splitlines() if line.endswith((" restored", " corrected")) or ": " in line
    ]
    assert (result.exit_code, repairs) == (0, [])
    assert (await projected_alliance.contents(), await projected_alliance.versions()) == (before, versions)
    assert await count_published(projected_alliance) == published_before
    lines = result.stderr.splitlines()
    assert lines[0].startswith("rebuild, read: [" + 30 * "." + "] 0 of ")
    assert lines[-1].startswith("rebuild, swap: [" + 30 * "#" + "] ")


async def test_a_rebuild_fills_an_empty_database_with_versions_above_the_published_ones(
    projected_alliance: RecordedAlliance, servers: str, mongodb_uri: str
) -> None:
    before, versions = await projected_alliance.contents(), await projected_alliance.versions()
    empty = RecordedAlliance(servers, mongodb_uri, projected_alliance.histories)

    result = await empty.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await empty.contents() == before
    versions_after = await empty.versions()
    assert [r for r in versions if versions_after[r] <= versions[r]] == []
    await empty.mongo.close()


async def test_a_rebuild_swaps_in_what_an_earlier_version_has_staged(projected_alliance: RecordedAlliance) -> None:
    r = next(iter(projected_alliance.histories))
    state = await projected_alliance.mongo["alliances"].find_one({"_id": r})
    assert state
    published = await count_published(projected_alliance)
    news = [await stored_update(projected_alliance, r, version=state["v"] + 1)]
    staged = {"_id": r, "over": state["v"], "differs": ["concern"], "news": news}
    staged["document"] = {**state, "v": state["v"] + 1, "concern": 2}
    await insert_staged_rebuild(projected_alliance.mongo, Policies().digest, "alliances_rebuilt", staged)

    result = await projected_alliance.run_command("rebuild")

    assert (result.exit_code, result.differences) == (0, {str(r): "concern"})
    assert await projected_alliance.mongo["alliances"].find_one({"_id": r}) == staged["document"]
    assert await count_published(projected_alliance) == published + 1


async def test_a_state_that_another_process_wrote_is_published_as_that_process_published_it(
    projected_alliance: RecordedAlliance,
) -> None:
    """A sign that the service has handled meanwhile was not found in retrospect; one version says one thing."""
    states = await projected_alliance.mongo["alliances"].find({"concern": {"$gt": 0}}).to_list(None)
    state = next(state for state in states if "retrospective" not in state)
    staged = {"_id": state["_id"], "over": state["v"] - 1, "differs": ["concern"], "news": [], "document": state}
    await insert_staged_rebuild(projected_alliance.mongo, Policies().digest, "alliances_rebuilt", staged)
    before = await read_events(projected_alliance.servers, ALLIANCE, state["_id"])

    assert (await projected_alliance.run_command("rebuild")).exit_code == 0

    published = (await read_events(projected_alliance.servers, ALLIANCE, state["_id"]))[len(before) :]
    assert {event.retrospective for event in published if isinstance(event, RuptureEvent)} == {False}
    assert {event.version for event in published if isinstance(event, RuptureEvent)} == {state["v"]}


async def test_a_rebuild_misses_no_event_that_the_service_handles_meanwhile(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    """The same for damaged relationships: the service updates a wrong state, and the rebuild corrects it."""
    damaged = await damage(projected_alliance)
    builders = {
        r: RelationshipBuilder(r)
        for r in [*damaged["states"], *damaged["events"], *list(projected_alliance.histories)[20:40]]
    }
    service = await projected_alliance.serve()
    rebuilding = await projected_alliance.start("rebuild")
    week = FIRST_NEW_WEEK
    while rebuilding.returncode is None:
        for r, builder in builders.items() if week < END_NEW_WEEK else ():
            new_events: list[HistoryEvent] = [builder.completed(week), builder.feedback(week, 3 + week % 7)]
            projected_alliance.histories[r] += new_events  # later tests find them on the topics
            await producer.publish(new_events)
        week += 1
        await asyncio.sleep(0)
    assert (await wait_for_exit(rebuilding)).exit_code == 0
    assert week > FIRST_NEW_WEEK + 1
    # As long as a document is damaged, the service cannot handle its events.
    redriven = await projected_alliance.run_command("dead-letters", "redrive", "--all", "--cause", "handling")
    assert redriven.exit_code == 0, redriven

    await wait_until(lambda: projected_alliance.is_fold_of(projected_alliance.histories), timeout_seconds=120)
    verify_result = await projected_alliance.run_command("verify")
    service.terminate()
    await wait_for_exit(service)

    assert (verify_result.exit_code, verify_result.stdout) == (
        0,
        f"{RELATIONSHIP_COUNT} relationships and clinics compared, 0 different\n",
    )


async def test_a_partition_that_does_not_fit_into_memory_is_read_in_slices(
    empty_alliance: RecordedAlliance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.rebuild.history.MAX_SLICE_MESSAGES", 100)
    settings = Settings(
        kafka_bootstrap_servers=empty_alliance.servers,
        mongodb_uri=empty_alliance.uri,
        mongodb_database=empty_alliance.database,
    )

    args = parse_arguments("alliance", commands.add_commands, argv=["rebuild"])

    exit_code = await asyncio.to_thread(commands.run, args, settings, VIEW_SOURCE, view_factory(settings, Policies()))

    assert exit_code == 0
    assert (await count_tasks_by_phase(empty_alliance.mongo))["done"] > 2 * PARTITIONS
    assert await empty_alliance.is_fold_of(empty_alliance.histories)


async def test_a_rebuild_restores_nothing_of_an_erased_client(
    projected_alliance: RecordedAlliance, producer: Producer
) -> None:
    builder = RelationshipBuilder()
    history_events: list[HistoryEvent] = [
        builder.started(),
        builder.completed(0),
        builder.feedback(0),
        builder.completed(2),
    ]
    await producer.publish([*history_events, builder.erased(1)])
    await projected_alliance.handle(producer, *history_events)

    result = await projected_alliance.run_command("rebuild")

    assert result.exit_code == 0
    stored_ids = [
        document["_id"]
        for document in await projected_alliance.mongo["facts"].find({"r": builder.relationship_id}).to_list(None)
    ]
    assert stored_ids == [builder.erased(1).id]
    assert (await projected_alliance.store.load([builder.relationship_id]))[builder.relationship_id].alliance.erasure_id
    assert (await projected_alliance.run_command("rebuild")).count_of("relationships corrected") == 0


async def stored_update(recorded: RecordedAlliance, r: UUID, version: int) -> bytes:
    """The latest published update of a relationship, as an event of another version."""
    updates = [
        event for event in await read_events(recorded.servers, ALLIANCE, r) if isinstance(event, AllianceUpdated)
    ]
    return encode(updates[-1].model_copy(update={"id": uuid4(), "version": version}))


async def count_published(recorded: RecordedAlliance) -> int:
    return len(await read_records(recorded.servers, ALLIANCE))
