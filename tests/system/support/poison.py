"""Poison messages, which no service of Attune would publish, and the consumers that must dead-letter each."""

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
TOO_LARGE_BYTES = 70_000  # the limit for an event is 65,536 bytes
RATINGS = {"trust": 8, "fit": 7}


@dataclass(frozen=True)
class PoisonMessage:
    """A message and the consumers that must dead-letter it; none if they only skip it."""

    name: str
    topic: Topic
    value: bytes | None
    dead_lettered_by: tuple[str, ...]

    @property
    def key(self) -> bytes:
        return f"poison {self.name}".encode()


def create_poison_messages(now: datetime) -> Sequence[PoisonMessage]:
    """All poison messages."""
    all_consumers, alliance_and_notify = ("sessions", "alliance", "notify"), ("alliance", "notify")
    future = now + timedelta(days=3)
    naive_time = now.replace(tzinfo=None).isoformat()
    return (
        PoisonMessage("not JSON", INTAKE, b"{not json", all_consumers),
        PoisonMessage("not UTF-8", FEEDBACK, b"\xff\xfe\x00rating", ("alliance",)),
        PoisonMessage("nothing", SESSIONS, None, alliance_and_notify),
        PoisonMessage("no event", SESSIONS, b'{"hello": "world"}', alliance_and_notify),
        PoisonMessage("a list", ALLIANCE, b"[1, 2, 3]", ("notify",)),
        PoisonMessage("another CloudEvents version", FEEDBACK, _feedback(now, specversion="0.3"), ("alliance",)),
        PoisonMessage(
            "wrong schema", INTAKE, _event("clinic.relationship.started.v1", now, {"aims": "many"}), all_consumers
        ),
        PoisonMessage("rating out of range", FEEDBACK, _feedback(now, data={"ratings": {"trust": 11}}), ("alliance",)),
        PoisonMessage("unknown element", FEEDBACK, _feedback(now, data={"ratings": {"charm": 5}}), ("alliance",)),
        PoisonMessage("contradicts itself", FEEDBACK, _feedback(now, data={"talked_about": "yes"}), ("alliance",)),
        PoisonMessage("from the future", FEEDBACK, _feedback(future), ("alliance",)),
        PoisonMessage("time without a zone", FEEDBACK, _feedback(now, time=naive_time), ("alliance",)),
        PoisonMessage("too large", FEEDBACK, _feedback(now, data={"more": "x" * TOO_LARGE_BYTES}), ("alliance",)),
        # Valid but unknown types: skipped and counted.
        PoisonMessage("unknown type", SESSIONS, _event("clinic.session.dreamt.v1", now, {"of": "sheep"}), ()),
        PoisonMessage("new version", FEEDBACK, _event("clinic.feedback.submitted.v9", now, {"mood": "blue"}), ()),
    )


async def publish_poison(bootstrap_servers: str, messages: Sequence[PoisonMessage]) -> None:
    """Publish them on their topics, past all services."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        for message in messages:
            headers = [("planted", b"\xff not UTF-8")]
            await producer.send_and_wait(message.topic.name, key=message.key, value=message.value, headers=headers)


async def publish_undecodable_record(bootstrap_servers: str, topic: str, partition: int) -> None:
    """Publish a record with a header name that is not UTF-8, which the consumers' client cannot decode at all."""

    class InvalidUtf8(str):
        def encode(self, *_: object) -> bytes:
            return b"\xff\xfe"

    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all") as producer:
        batch = producer.create_batch()
        batch._builder = _DefaultRecordBatchBuilderPy(2, 0, 0, -1, -1, 0, 16_384)  # the compiled one takes only str
        batch.append(key=b"a key", value=b"value", timestamp=None, headers=[(InvalidUtf8("name"), b"value")])
        await (await producer.send_batch(batch, topic, partition=partition))


def _feedback(at: datetime, data: Mapping[str, Any] | None = None, **envelope: Any) -> bytes:
    content = {"rater": "client", "ratings": RATINGS, "session_id": str(uuid5(NAMESPACE, "session")), **(data or {})}
    return _event("clinic.feedback.submitted.v1", at, content, **envelope)


def _event(event_type: str, at: datetime, data: Mapping[str, Any], **envelope: Any) -> bytes:
    cloud_event = {
        "specversion": "1.0",
        "id": str(uuid5(NAMESPACE, f"{event_type} {data} {at}")),
        "source": "/another/producer",
        "type": event_type,
        "time": at.isoformat(),
        "partitionkey": str(uuid5(NAMESPACE, "relationship")),
        "data": data,
        **envelope,
    }
    return json.dumps(cloud_event).encode()
