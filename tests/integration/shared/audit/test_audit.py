"""The audit of a running service: lines are chained within a second, heads are reported, a lost end is noticed."""

import base64
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from structlog.testing import capture_logs

from shared.audit.audit import Audit
from shared.audit.heads import HeadReporter
from shared.audit.line import AuditLine
from shared.audit.metrics import AuditMetrics
from shared.audit.settings import AuditSettings
from shared.audit.store.memory import InMemoryAuditStore
from shared.audit.store.protocol import Position
from shared.audit.writer import ChainWriter
from shared.errors import Transient
from shared.mongo.client import Mongo
from shared.outbox.documents import Documents
from shared.runtime.clock import now
from tests.integration.shared.audit.test_mover import Note, write
from tests.support.audit_builders import ANNA, BEN, ELM, KEY, NOW, OAK, make_line, make_lines
from tests.support.mongo import create_idle_outbox, open_mongo
from tests.support.serving import wait_until

pytestmark = pytest.mark.integration

AUDIT_KEY = f"2026:{base64.b64encode(bytes(32)).decode()}"


def create_settings(folder: Path, **settings: object) -> AuditSettings:
    return AuditSettings(**{"audit_key": AUDIT_KEY, "audit_spool_dir": folder, **settings})  # type: ignore[arg-type]


@pytest.fixture
async def mongo(mongodb_uri: str) -> AsyncIterator[Mongo]:
    async with open_mongo(mongodb_uri, "motor") as mongo:
        yield mongo


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def audit(mongo: Mongo, registry: CollectorRegistry, tmp_path: Path) -> Audit:
    return Audit(create_settings(tmp_path), mongo, ["notes"], registry, now)


async def test_changes_and_reads_are_listed_soon_after_they_happened(audit: Audit, mongo: Mongo) -> None:
    notes = Documents(mongo["notes"], Note, create_idle_outbox(mongo, ["notes"], now), now)
    read, change, foreign = make_line(minutes=1), make_line("change_note", by=BEN), make_line(clinic_id=OAK)
    async with audit.run():
        audit.record(read)
        audit.record(foreign)
        await notes.audited(change).change(uuid4(), write("one"))
        await wait_until(lambda: _has_lines(audit, 2), timeout_seconds=5)

    (first, second) = await audit.list_lines(ELM)
    assert [first.line, second.line] == [change, read]
    assert [entry.line for entry in await audit.list_lines(ELM, by=ANNA)] == [read]
    assert await audit.list_lines(ELM, limit=1) == [first]
    assert await audit.list_lines(ELM, after=Position(first.line.at, first.sequence)) == [second]
    assert await audit.list_lines(ELM, since=NOW, until=NOW + timedelta(seconds=1)) == [first]
    assert [entry.line for entry in await audit.list_lines(OAK)] == [foreign]


async def test_what_is_not_chained_at_the_end_waits_for_the_next_start(
    audit: Audit, mongo: Mongo, tmp_path: Path
) -> None:
    lines = make_lines(5)
    for line in lines:
        audit.record(line)
    async with audit.run():
        pass

    again = Audit(create_settings(tmp_path), mongo, ["notes"], CollectorRegistry(), now)
    async with again.run():
        await wait_until(lambda: _has_lines(again, 5))

    assert [entry.line for entry in await again.list_lines(ELM)] == lines


async def test_reads_are_recorded_while_mongodb_is_unavailable_until_the_spool_is_full(
    tmp_path: Path,
) -> None:
    mongo = Mongo("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "nowhere")
    settings = create_settings(tmp_path, audit_spool_limit_mb=1)
    audit = Audit(settings, mongo, ["notes"], CollectorRegistry(), now)
    async with audit.run():
        record_all(audit, make_lines(1_000))
        with pytest.raises(Transient, match="full"):
            record_all(audit, make_lines(2_000))

    await mongo.close()


async def test_a_head_is_logged_when_it_has_changed_and_an_error_when_an_end_is_missing() -> None:
    store, registry = InMemoryAuditStore(), CollectorRegistry()
    reporter = HeadReporter(store, AuditMetrics(registry))
    await ChainWriter(store, KEY, uuid4()).append([*make_lines(3), *make_lines(2, OAK)])

    with capture_logs() as first:
        await reporter.report()
    with capture_logs() as unchanged:
        await reporter.report()
    assert registry.get_sample_value("attune_audit_head_lines") == 5
    elms = [entry for entry in store.entries if entry.line.clinic_id == ELM]
    store.entries.remove(elms[-1])
    with capture_logs() as truncated:
        await reporter.report()

    assert {(log["event"], log["clinic"], log["sequence"]) for log in first} == {
        ("Audit head", str(ELM), 3),
        ("Audit head", str(OAK), 2),
    }
    assert elms[-1].mac in {log["mac"] for log in first}
    assert unchanged == []
    assert [(log["log_level"], log["clinic"], log["sequence"], log["expected"]) for log in truncated] == [
        ("error", str(ELM), 2, 3)
    ]
    assert registry.get_sample_value("attune_audit_head_lines") == 4
    assert registry.get_sample_value("attune_audit_truncations_total") == 1


async def test_an_end_that_was_removed_is_noticed_by_a_process_that_has_just_started() -> None:
    store, registry = InMemoryAuditStore(), CollectorRegistry()
    await ChainWriter(store, KEY, uuid4()).append(make_lines(3))
    store.entries.pop()

    await HeadReporter(store, AuditMetrics(registry)).report()

    assert registry.get_sample_value("attune_audit_truncations_total") == 1


async def test_an_end_that_was_removed_with_its_head_is_noticed_by_a_process_that_saw_it() -> None:
    store, registry = InMemoryAuditStore(), CollectorRegistry()
    reporter = HeadReporter(store, AuditMetrics(registry))
    await ChainWriter(store, KEY, uuid4()).append(make_lines(3))
    await reporter.report()

    store.clear()
    await reporter.report()

    assert registry.get_sample_value("attune_audit_truncations_total") == 1


def record_all(audit: Audit, lines: Sequence[AuditLine]) -> None:
    for line in lines:
        audit.record(line)


@pytest.mark.parametrize("key", ["", "2026:c2hvcnQ=", "no key"])
def test_a_key_that_cannot_be_used_stops_the_start_without_being_shown(tmp_path: Path, key: str) -> None:
    with pytest.raises(ValidationError) as raised:
        create_settings(tmp_path, audit_key=key)

    assert "c2hvcnQ" not in str(raised.value)


async def _has_lines(audit: Audit, count: int) -> bool:
    return len(await audit.list_lines(ELM)) == count
