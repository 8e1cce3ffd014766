"""Rebuilding notify's view as operators do: no message is sent twice, and dispositions are kept."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from services.notify.app import create_app
from services.notify.rebuild import VIEW_SOURCE
from shared.kafka.producer import Producer
from shared.mongo.client import Document
from tests.integration.notify.rebuild.prepared_service import (
    CLINICIAN_COUNT,
    RELATIONSHIP_COUNT,
    PreparedService,
    create_builder,
    damage,
    is_nothing_due,
)
from tests.support.receivers import Mailbox
from tests.support.service_process import insert_staged_rebuild, join_rebuild, wait_for_exit
from tests.support.serving import run_app, wait_until

pytestmark = pytest.mark.integration


async def test_a_rebuild_restores_a_damaged_view_and_sends_no_message_twice(
    notified: PreparedService, mailbox: Mailbox
) -> None:
    before, underivable, mail_count = (
        await notified.view(),
        await notified.underivable_documents(),
        len(mailbox.received),
    )
    assert (len(before["relationships"]), mail_count > RELATIONSHIP_COUNT / 4) == (RELATIONSHIP_COUNT, True)
    await damage(notified)
    verify_result = await notified.command("verify")

    result = await notified.command("rebuild")

    assert result.exit_code == 0, result
    assert await notified.view() == before
    assert (result.count_of("relationships corrected"), result.count_of("relationships restored")) == (6, 1)
    assert result.count_of("clinicians corrected") == 1
    for row, differing in ((0, "missing"), (1, "open_episode_id"), (2, "unreadable")):
        assert verify_result.differences[str(create_builder(row).relationship_id)].startswith(differing)
    assert result.differences[str(create_builder(5).relationship_id)] == f"alert {create_builder(5).alert_id()} missing"
    assert verify_result.exit_code == 1
    corrected = {r: names for r, names in verify_result.differences.items() if names not in ("clinician", "missing")}
    assert result.differences == corrected
    assert verify_result.differences[str(UUID(int=1))] == "clinician"

    second_result = await notified.command("verify")
    assert (second_result.exit_code, second_result.differences) == (0, {}), second_result
    async with run_app(create_app(notified.settings)):
        await wait_until(lambda: is_nothing_due(notified))
    assert len(mailbox.received) == mail_count
    assert [d["_id"] for d in await notified.underivable_documents()] == [d["_id"] for d in underivable]


async def test_a_rebuild_restores_a_lost_view_with_dispositions_and_sends_nothing_again(
    notified: PreparedService, mailbox: Mailbox
) -> None:
    before, mail_count = await notified.view(), len(mailbox.received)
    for name in ("relationships", "alerts", "clinicians"):
        await notified.mongo[name].drop()

    result = await notified.command("rebuild")

    assert result.exit_code == 0, result
    assert await notified.view() == before
    async with run_app(create_app(notified.settings)):
        await wait_until(lambda: is_nothing_due(notified))
    assert len(mailbox.received) == mail_count


async def test_an_alert_that_was_never_raised_is_sent_after_a_rebuild(
    notified: PreparedService, mailbox: Mailbox
) -> None:
    mail_count = len(mailbox.received)
    missing_alert = create_builder(1).alert_id()
    await notified.mongo["alerts"].delete_one({"_id": missing_alert})
    await notified.mongo["deliveries"].delete_many({"alert_id": missing_alert})

    assert (await notified.command("rebuild")).exit_code == 0
    async with run_app(create_app(notified.settings)):
        await wait_until(lambda: _is_true(len(mailbox.received) == mail_count + 1))


async def test_a_rebuild_of_a_correct_view_changes_nothing(notified: PreparedService) -> None:
    async def all_documents() -> Any:
        names = ("relationships", "alerts", "clinicians", "deliveries")
        return [await notified.mongo[name].find().sort("_id", 1).to_list(None) for name in names]

    before = await all_documents()

    result = await notified.command("rebuild")

    assert (result.exit_code, result.differences) == (0, {})
    assert await all_documents() == before


async def test_a_rebuild_continues_after_a_kill_and_several_processes_share_the_work(notified: PreparedService) -> None:
    before = await notified.view()
    for name in ("relationships", "alerts"):
        await notified.mongo[name].drop()
    await notified.kill_rebuild_in_each_phase(
        await join_rebuild(notified.settings.kafka_bootstrap_servers, notified.mongo, VIEW_SOURCE)
    )

    processes = [await notified.start("rebuild") for _ in range(2)]
    results = [await wait_for_exit(process) for process in processes]

    assert [each.exit_code for each in results] == [0, 0], results
    assert await notified.view() == before


async def test_a_rebuild_swaps_in_what_an_earlier_version_has_staged(notified: PreparedService) -> None:
    before = await notified.view()
    r, alert_id = create_builder(1).relationship_id, create_builder(1).alert_id()
    relationship = await notified.mongo["relationships"].find_one_and_delete({"_id": r})
    alert = await notified.mongo["alerts"].find_one_and_delete({"_id": alert_id})
    staged: Document = {"_id": r, "relationship": relationship, "alerts": [alert], "differs": ["missing"]}
    staged["positions"] = [[topic.name, 0] for topic in VIEW_SOURCE.topics]
    await insert_staged_rebuild(notified.mongo, "no policy", "rebuilt", staged)

    result = await notified.command("rebuild")

    assert (result.exit_code, result.count_of("relationships restored")) == (0, 1)
    assert await notified.view() == before


async def test_a_rebuild_misses_no_event_that_the_service_handles_meanwhile(
    notified: PreparedService, kafka: Producer
) -> None:
    await damage(notified)
    service = await notified.serve(
        SMTP_PORT=str(notified.settings.smtp_port), SMTP_TLS="none", SMTP_FROM="attune@clinic.example"
    )
    rebuilding = await notified.start("rebuild")
    version = 10
    while rebuilding.returncode is None:
        for row in range(5, 15) if version < 40 else ():
            s = create_builder(row)
            await kafka.publish([s.changed(version, "urgent"), s.updated(version, 0)])
        version += 1
        await asyncio.sleep(0)
    assert (await wait_for_exit(rebuilding)).exit_code == 0
    assert version > 11
    # As long as a document is damaged, the service cannot handle its events.
    assert (await notified.command("dead-letters", "redrive", "--all", "--cause", "handling")).exit_code == 0
    verify_result = await notified.command("verify")
    service.terminate()
    await wait_for_exit(service)

    assert (verify_result.exit_code, verify_result.stdout) == (
        0,
        f"{RELATIONSHIP_COUNT + CLINICIAN_COUNT} relationships, clinicians and clinics compared, 0 different\n",
    )
    alert_by_id = {d["_id"]: d for d in (await notified.view())["alerts"]}
    assert alert_by_id[create_builder(6).alert_id()]["said"]["version"] == min(version, 40) - 1
    assert alert_by_id[create_builder(6).alert_id()]["resolved"]["useful"] is True


async def _is_true(value: bool) -> bool:
    return value
