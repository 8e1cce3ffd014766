"""What an operator learns from `verify-audit` after somebody changed the database."""

import argparse
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import uuid4

import pytest

from shared.audit.chain import AuditEntry, Head
from shared.audit.commands import add_command, verify_audit
from shared.audit.store.mongo import AUDIT, AUDIT_HEADS, MongoAuditStore
from shared.audit.writer import ChainWriter
from shared.mongo.client import Mongo
from tests.support.audit_builders import ELM, KEY, KEYS, OAK, make_lines
from tests.support.mongo import open_mongo

pytestmark = pytest.mark.integration


@pytest.fixture
async def mongo(mongodb_uri: str) -> AsyncIterator[Mongo]:
    """With chains of two clinics, of six and of two lines."""
    async with open_mongo(mongodb_uri, "motor") as mongo:
        await ChainWriter(MongoAuditStore(mongo), KEY, uuid4()).append([*make_lines(6), *make_lines(2, OAK)])
        yield mongo


async def verify(mongo: Mongo, capsys: pytest.CaptureFixture[str], *heads: Head) -> tuple[int, list[str]]:
    exit_code = await verify_audit(MongoAuditStore(mongo), "sessions", KEYS, heads)
    return exit_code, capsys.readouterr().out.splitlines()


async def test_chains_that_are_as_they_were_written_have_no_problem(
    mongo: Mongo, capsys: pytest.CaptureFixture[str]
) -> None:
    head = (await MongoAuditStore(mongo).find_heads(ELM)).last

    assert await verify(mongo, capsys, head) == (0, ["8 audit lines in 2 chains verified, 0 problems"])


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"$set": {"line.operation": "cancel_session"}}, "changed at 3: it is not the entry that was written"),
        ({"$set": {"line.actor.id": uuid4()}}, "changed at 3: it is not the entry that was written"),
        ({"$set": {"line.targets": []}}, "changed at 3: it is not the entry that was written"),
        ({"$set": {"line.note": "harmless"}}, "unreadable at 3: it has not the form of an entry"),
        ({"$set": {"note": "harmless"}}, "unreadable at 3: it has not the form of an entry"),
        ({"$set": {"line.clinic_id": OAK}}, "unreadable at 3: it has not the form of an entry"),
        ({"$unset": {"mac": ""}}, "unreadable at 3: it has not the form of an entry"),
        ({"$set": {"clinic_id": uuid4()}}, "removed at 4: entries 3 to 3 are missing"),
        ({"$set": {"key_id": "1999"}}, "unknown-key at 3: the key 1999 is not given"),
    ],
)
async def test_a_changed_document_is_found(
    mongo: Mongo, capsys: pytest.CaptureFixture[str], change: dict[str, Any], found: str
) -> None:
    await mongo[AUDIT].update_one({"clinic_id": ELM, "sequence": 3}, change)

    exit_code, lines = await verify(mongo, capsys)

    assert exit_code == 1
    assert f"{ELM}: {found}" in lines


async def test_a_removed_document_is_found(mongo: Mongo, capsys: pytest.CaptureFixture[str]) -> None:
    await mongo[AUDIT].delete_one({"clinic_id": ELM, "sequence": 3})

    assert await verify(mongo, capsys) == (
        1,
        [
            f"{ELM}: removed at 4: entries 3 to 3 are missing",
            "7 audit lines in 2 chains verified, 1 problems",
        ],
    )


async def test_a_fork_is_found_where_the_index_was_removed(mongo: Mongo, capsys: pytest.CaptureFixture[str]) -> None:
    await mongo[AUDIT].drop_index("chain")
    entry = cast(dict[str, Any], await mongo[AUDIT].find_one({"clinic_id": ELM, "sequence": 3}))
    line_id = uuid4()
    await mongo[AUDIT].insert_one({**entry, "_id": line_id, "line": {**entry["line"], "id": line_id}})

    exit_code, lines = await verify(mongo, capsys)

    assert exit_code == 1
    assert f"{ELM}: forked at 3: another entry has the same place" in lines


async def test_a_cut_off_end_is_found(mongo: Mongo, capsys: pytest.CaptureFixture[str]) -> None:
    await mongo[AUDIT].delete_many({"clinic_id": ELM, "sequence": {"$gt": 4}})

    exit_code, lines = await verify(mongo, capsys)

    assert exit_code == 1
    assert lines[0] == f"{ELM}: truncated at 4: entries 5 to 6 are missing at the end"


async def test_a_head_from_the_log_shows_what_was_removed_together_with_the_head_in_the_database(
    mongo: Mongo, capsys: pytest.CaptureFixture[str]
) -> None:
    store = MongoAuditStore(mongo)
    logged = [(await store.find_heads(clinic)).last for clinic in (ELM, OAK)]
    fourth = [entry async for entry in store.stream(ELM) if isinstance(entry, AuditEntry)][3]
    await mongo[AUDIT].delete_many({"$or": [{"clinic_id": OAK}, {"sequence": {"$gt": 4}}]})
    await mongo[AUDIT_HEADS].delete_one({"_id": OAK})
    await mongo[AUDIT_HEADS].update_one({"_id": ELM}, {"$set": {"sequence": 4, "mac": fourth.mac}})

    assert (await verify(mongo, capsys))[0] == 0
    exit_code, lines = await verify(mongo, capsys, *logged)

    assert exit_code == 1
    assert set(lines) >= {
        f"{ELM}: truncated at 4: entries 5 to 6 are missing at the end",
        f"{OAK}: truncated at 0: entries 1 to 2 are missing at the end",
    }


def parse_arguments(*heads: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers(dest="command"))
    return parser.parse_args(["verify-audit", *(part for head in heads for part in ("--head", head))])


def test_heads_are_arguments_in_the_form_of_the_log() -> None:
    assert parse_arguments().head == []

    assert parse_arguments(f"{ELM}:6:{'a' * 64}", f"{OAK}:2:{'b' * 64}").head == [
        Head(ELM, 6, "a" * 64),
        Head(OAK, 2, "b" * 64),
    ]


@pytest.mark.parametrize("text", ["", f"{ELM}", f"{ELM}:0:{'a' * 64}", f"{ELM}:1:short", f"elm:1:{'a' * 64}"])
def test_an_argument_that_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(text)
