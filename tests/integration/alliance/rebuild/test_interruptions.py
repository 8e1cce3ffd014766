"""A rebuild that is shared by processes, killed, without a server or without disk space, and restarted."""

import signal
from asyncio.subprocess import Process
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest
from pymongo import MongoClient

from services.alliance.domain.state.history import HistoryEvent
from shared.events import EVENT_TYPES, RuptureEvent, by_type
from shared.events.cloudevents import decode
from shared.events.topics import ALLIANCE
from shared.mongo.client import OUT_OF_DISK_SPACE, Document
from tests.integration.alliance.rebuild.recorded_alliance import RELATIONSHIP_COUNT, RecordedAlliance
from tests.support.kafka_reader import read_records
from tests.support.service_process import has_tasks_in, wait_for_exit
from tests.support.serving import wait_until
from tools.sandbox.servers import mongod
from tools.sandbox.servers.ports import free_ports

pytestmark = pytest.mark.integration


async def test_a_rebuild_that_is_killed_in_either_phase_continues_when_it_is_restarted(
    empty_alliance: RecordedAlliance,
) -> None:
    await empty_alliance.kill_rebuild_in_each_phase(await empty_alliance.join_rebuild())

    result = await empty_alliance.run_command("rebuild")

    assert result.exit_code == 0, result
    assert await empty_alliance.is_fold_of(empty_alliance.histories)
    assert await empty_alliance.mongo["alliances_rebuilt"].find_one() is None
    assert result.count_of("events read") == sum(map(len, empty_alliance.histories.values()))
    assert (await empty_alliance.run_command("rebuild")).count_of("relationships corrected") == 0
    published = await published_ruptures(empty_alliance)
    assert {event.retrospective for event in published} == {True}, "also what is published again after the kill"
    assert len({event.id for event in published}) == len({event.model_dump_json() for event in published})


async def published_ruptures(recorded: RecordedAlliance) -> list[RuptureEvent]:
    records = await read_records(recorded.servers, ALLIANCE)
    events = [decode(record.value, by_type(EVENT_TYPES)) for record in records]
    return [event for event in events if isinstance(event, RuptureEvent)]


async def test_several_rebuild_processes_share_the_work_and_print_the_same_totals(
    empty_alliance: RecordedAlliance,
) -> None:
    processes: list[Process] = []

    async def each_has_claimed_task() -> bool:
        owners = await empty_alliance.mongo["rebuild_shares"].distinct("owner")
        return len(owners) == len(processes)

    for _ in range(3):
        processes.append(await empty_alliance.start("rebuild"))
        await wait_until(each_has_claimed_task, timeout_seconds=120)
        processes[-1].send_signal(signal.SIGSTOP)  # or it would finish before the next one starts
    for process in processes:
        process.send_signal(signal.SIGCONT)
    results = [await wait_for_exit(process) for process in processes]

    assert [result.exit_code for result in results] == [0, 0, 0], results
    assert await empty_alliance.is_fold_of(empty_alliance.histories)
    assert {result.count_of("relationships restored") for result in results} == {RELATIONSHIP_COUNT}
    assert {result.count_of("events restored") for result in results} == {
        sum(map(len, empty_alliance.histories.values()))
    }


async def test_a_rebuild_is_not_continued_with_other_policies(empty_alliance: RecordedAlliance, tmp_path: Path) -> None:
    (tmp_path / "default.toml").write_text("base_rate = 0.15\nconcern = 0.2\n")
    other_job = await empty_alliance.join_rebuild()
    task = await other_job.claim("read")
    assert task

    restart_result = await empty_alliance.run_command("rebuild", "--restart")
    other_policy_result = await empty_alliance.run_command("rebuild", POLICY_DIR=str(tmp_path))

    assert (restart_result.exit_code, other_policy_result.exit_code) == (1, 1)
    assert "another process holds the lease" in restart_result.stderr
    assert "with other policies" in other_policy_result.stderr
    await other_job.complete_phase(task, "read", Counter())
    assert (await empty_alliance.run_command("rebuild", "--restart", POLICY_DIR=str(tmp_path))).exit_code == 0
    assert not await empty_alliance.is_fold_of(empty_alliance.histories)


async def test_a_rebuild_without_a_database_exits_with_one_line_and_can_be_restarted(
    servers: str, histories: dict[UUID, list[HistoryEvent]], tmp_path: Path
) -> None:
    ports = free_ports(1)
    with mongod.mongodb_server(tmp_path, *ports) as server:
        empty_alliance = RecordedAlliance(servers, server.address, histories)
        running = await empty_alliance.start("rebuild")

        await wait_until(lambda: has_tasks_in(empty_alliance.mongo, "swap"), timeout_seconds=120)
        await empty_alliance.mongo.close()
    stopped_result = await wait_for_exit(running)
    assert stopped_result.exit_code == 1
    assert stopped_result.stderr.splitlines()[-1].startswith("rebuild: MongoDB is unavailable: ")

    with mongod.mongodb_server(tmp_path, *ports) as server:
        second_run = RecordedAlliance(servers, server.address, histories, empty_alliance.database)
        assert (await second_run.run_command("rebuild")).exit_code == 0
        assert await second_run.is_fold_of(histories)
        await second_run.mongo.close()


async def test_a_rebuild_on_a_full_disk_exits_without_printing_content_and_can_be_restarted(
    servers: str, histories: dict[UUID, list[HistoryEvent]], tmp_path: Path
) -> None:
    server = mongod.mongodb_server(tmp_path, *free_ports(1))
    server.command = [*server.command, "--setParameter", "enableTestCommands=1"]
    with server:
        empty_alliance = RecordedAlliance(servers, server.address, histories)
        fail_point = {
            "errorCode": OUT_OF_DISK_SPACE,
            "failCommands": ["insert"],
            "namespace": f"{empty_alliance.database}.facts",
        }
        with MongoClient[Document](server.address) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"skip": 3}, "data": fail_point})
            stopped_result = await empty_alliance.run_command("rebuild")
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})
        second_result = await empty_alliance.run_command("rebuild")
        assert await empty_alliance.is_fold_of(histories)
        await empty_alliance.mongo.close()

    assert (stopped_result.exit_code, stopped_result.stderr.splitlines()[-1]) == (
        1,
        "rebuild: MongoDB is unavailable: MongoDB has no disk space left",
    )
    assert second_result.exit_code == 0, second_result


async def test_a_rebuild_reports_that_kafka_is_unavailable(empty_alliance: RecordedAlliance) -> None:
    result = await empty_alliance.run_command("rebuild", KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:1")

    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1].startswith("rebuild: Kafka is unavailable: ")
