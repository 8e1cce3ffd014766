"""Messages that no service of ours would put on a topic, and who must set each aside."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from aiokafka import AIOKafkaProducer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from shared.events.topics import ALLIANCE, FEEDBACK, INTAKE, SESSIONS, Topic

NAMESPACE = UUID("0d6f6f58-5a0c-4a8e-a1f3-0f8f5b4c2d11")
TOO_LARGE = 70_000  # bytes; events may have 65,536
RATINGS = {"trust": 8, "fit": 7}


@dataclass(frozen=True)
class Poison:
    """One message, and the consumers that must set it aside; none where it is merely not for anybody."""

    name: str
    topic: Topic
    value: bytes | None
    set_aside_by: tuple[str, ...]

    @property
    def key(self) -> bytes:
        return f"poison {self.name}".encode()


def poisons(now: datetime) -> Sequence[Poison]:
    """All that is planted."""
    all_consumers, alliance_and_notify = ("sessions", "alliance", "notify"), ("alliance", "notify")
    future = now + timedelta(days=3)
    naive_time = now.replace(tzinfo=None).isoformat()
    return (
        Poison("not JSON", INTAKE, b"{not json", all_consumers),
        Poison("not UTF-8", FEEDBACK, b"\xff\xfe\x00rating", ("alliance",)),
        Poison("nothing", SESSIONS, None, alliance_and_notify),
        Poison("no event", SESSIONS, b'{"hello": "world"}', alliance_and_notify),
        Poison("a list", ALLIANCE, b"[1, 2, 3]", ("notify",)),
        Poison("another CloudEvents version", FEEDBACK, _feedback(now, specversion="0.3"), ("alliance",)),
        Poison("wrong schema", INTAKE, _event("clinic.relationship.started.v1", now, {"aims": "many"}), all_consumers),
        Poison("rating out of range", FEEDBACK, _feedback(now, data={"ratings": {"trust": 11}}), ("alliance",)),
        Poison("unknown element", FEEDBACK, _feedback(now, data={"ratings": {"charm": 5}}), ("alliance",)),
        Poison("contradicts itself", FEEDBACK, _feedback(now, data={"talked_about": "yes"}), ("alliance",)),
        Poison("from the future", FEEDBACK, _feedback(future), ("alliance",)),
        Poison("time without a zone", FEEDBACK, _feedback(now, time=naive_time), ("alliance",)),
        Poison("too large", FEEDBACK, _feedback(now, data={"more": "x" * TOO_LARGE}), ("alliance",)),
        # Not wrong, only not known yet: skipped and counted.
        Poison("unknown type", SESSIONS, _event("clinic.session.dreamt.v1", now, {"of": "sheep"}), ()),
        Poison("new version", FEEDBACK, _event("clinic.feedback.submitted.v9", now, {"mood": "blue"}), ()),
    )


async def plant(servers: str, planted: Sequence[Poison]) -> None:
    """Put them on their topics, past every service."""
    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        for message in planted:
            headers = [("planted", b"\xff not UTF-8")]
            await producer.send_and_wait(message.topic.name, key=message.key, value=message.value, headers=headers)


async def plant_unreadable(servers: str, topic: str, partition: int) -> None:
    """Put there a record with a header whose name is no UTF-8, which the consumers' client cannot read at all."""

    class NoText(str):
        def encode(self, *_: object) -> bytes:
            return b"\xff\xfe"

    async with AIOKafkaProducer(bootstrap_servers=servers, acks="all") as producer:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 16_384)  # the compiled one takes only str
        batch.append(key=b"a key", value=b"value", timestamp=None, headers=[(NoText("name"), b"value")])
        await (await producer.send_batch(batch, topic, partition=partition))


def _feedback(at: datetime, data: Mapping[str, Any] | None = None, **envelope: Any) -> bytes:
    content = {"rater": "client", "ratings": RATINGS, "session_id": str(uuid5(NAMESPACE, "session")), **(data or {})}
    return _event("clinic.feedback.submitted.v1", at, content, **envelope)


def _event(kind: str, at: datetime, data: Mapping[str, Any], **envelope: Any) -> bytes:
    cloud_event = {
        "specversion": "1.0",
        "id": str(uuid5(NAMESPACE, f"{kind} {data} {at}")),
        "source": "/somebody/else",
        "type": kind,
        "time": at.isoformat(),
        "partitionkey": str(uuid5(NAMESPACE, "relationship")),
        "data": data,
        **envelope,
    }
    return json.dumps(cloud_event).encode()
