"""Exporting the recording: every topic, every database, what clients were told, and what arrived."""

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from bson import json_util
from deploy.local.stack import PARTITIONS, SERVICES
from deploy.local.topics import HEARD_BY, Topics
from deploy.simulation.course import Clinician
from deploy.simulation.ledger import Taken
from deploy.simulation.receivers import Hook, Mail
from deploy.smoke.poison import Poison
from pymongo.asynchronous.database import AsyncDatabase
from shared.topics import ALL

from tests.system.upgrade.archive import CODEC, Collection, Json, Manifest, Record, Recording, as_json
from tests.system.upgrade.recorder.system import NotRecorded, System

COMMIT = "2d82b9e"


async def export(system: System, began_at: datetime, ended_at: datetime, rows: dict[str, list[Json]]) -> Recording:
    """All but what is expected of it. Kafka and MongoDB run, and nobody else does. Raises NotRecorded."""
    async with Topics(system.kafka.address) as topics:
        records = {topic.name: [_record(r) for r in await topics.records(topic)] for topic in ALL}
    for name, found in records.items():
        records[name] = sorted(found, key=lambda record: (record.partition, record.offset))
        _check_offsets(name, records[name])
    return Recording(
        manifest=Manifest(COMMIT, began_at, ended_at, PARTITIONS, webhooks=(system.webhooks, system.gone, system.busy)),
        topics=records,
        groups=await _groups(system.kafka.address),
        databases={f"attune_{name}": await _collections(system.mongo[f"attune_{name}"]) for name in SERVICES},
        rows=rows,
        expected=None,
    )


def _record(record: Any) -> Record:
    headers = tuple((name, value) for name, value in record.headers)
    return Record(record.partition, record.offset, record.timestamp, record.key, record.value, headers)


def _check_offsets(topic: str, records: list[Record]) -> None:
    """Nothing was compacted or deleted: every partition is whole from offset 0 on."""
    for partition in range(PARTITIONS):
        offsets = [record.offset for record in records if record.partition == partition]
        if offsets != list(range(len(offsets))):
            raise NotRecorded(f"{topic}/{partition} has gaps")


async def _groups(servers: str) -> dict[str, dict[str, dict[int, int]]]:
    """Kafka was started just now: until its coordinator has loaded them, it says that nothing was committed."""
    admin, found = AIOKafkaAdminClient(bootstrap_servers=servers), dict[str, dict[str, dict[int, int]]]()
    await admin.start()
    try:
        for group, *_ in await admin.list_consumer_groups():
            for place, committed in (await admin.list_consumer_group_offsets(group)).items():
                if committed.offset >= 0:
                    found.setdefault(group, {}).setdefault(place.topic, {})[place.partition] = committed.offset
    finally:
        await admin.close()
    if found.keys() != HEARD_BY.keys():
        raise NotRecorded(f"committed offsets were found of {sorted(found)} only")
    return found


async def _collections(database: AsyncDatabase[dict[str, Any]]) -> dict[str, Collection]:
    found = {}
    for name in sorted(await database.list_collection_names()):
        collection = database[name].with_options(codec_options=CODEC)
        indexes = [json.loads(json_util.dumps(index)) async for index in await collection.list_indexes()]
        found[name] = Collection([document async for document in collection.find().sort("_id", 1)], indexes)
    return found


def rows(
    taken: Iterable[Taken],
    mails: Iterable[Mail],
    hooks: Iterable[Hook],
    planted: Iterable[Poison],
    clinicians: Iterable[Clinician],
) -> dict[str, list[Json]]:
    """What the checker needs besides topics and databases."""
    return {
        "ledger": [{**vars(one), "at": one.at.isoformat()} for one in taken],
        "mails": [
            {"to": list(mail.to), "message": mail.message.as_string(), "at": mail.at.isoformat()} for mail in mails
        ],
        "hooks": [{**vars(hook), "body": hook.body.decode(), "at": hook.at.isoformat()} for hook in hooks],
        "undecodable": [
            {"name": p.name, "topic": p.topic.name, "value": as_json(p.value), "dead_lettered_by": list(p.set_aside_by)}
            for p in planted
        ],
        "clinicians": [
            {"id": str(c.id), "clinic": str(c.clinic_id), "name": c.name, "email": c.email, "webhook": c.webhook}
            for c in clinicians
        ],
    }
