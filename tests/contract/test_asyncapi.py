"""Who tells and who hears what, and that the services do what the document says."""

import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from typing import Any, cast

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from shared.events import KINDS, ClientErased, Event
from shared.events.topics import ALL, SUBJECTS, Topic
from shared.kafka import Kafka
from tools.contracts.asyncapi import asyncapi
from tools.contracts.documents import COMMAND, DOCS, SERVICES, committed, role, written

ROLES = {service: role(service) for service in SERVICES}
DOCUMENT = asyncapi(ROLES)
NOT_TOLD_YET: set[type[Event]] = {ClientErased}  # services heed it already; intake cannot erase a client yet


def test_the_document_is_what_the_code_does() -> None:
    assert committed("asyncapi.json") == written(DOCUMENT), f"docs/asyncapi.json is out of date; run: {COMMAND}"


def test_the_document_has_the_shape_of_asyncapi_3() -> None:
    read = ApplicationSchema.model_validate(DOCUMENT)

    assert set(read.channels) == {topic.name for topic in ALL}
    assert all(operation.action in ("send", "receive") for operation in read.operations.values())


def test_whatever_the_document_refers_to_is_there() -> None:
    for reference in references(DOCUMENT):
        file, _, pointer = reference.partition("#")
        target: Any = json.loads((DOCS / file).read_text(encoding="utf-8")) if file else DOCUMENT
        for name in pointer.split("/")[1:]:
            assert name in target, reference
            target = target[name]


def references(part: Any) -> Iterator[str]:
    """Every reference in a document."""
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


@pytest.mark.parametrize("kind", KINDS, ids=[kind.kind() for kind in KINDS])
def test_every_event_is_told_by_the_one_service_that_its_topic_belongs_to(kind: type[Event]) -> None:
    publishers = [service for service, service_events in ROLES.items() if kind in service_events.tells]

    assert publishers == ([] if kind in NOT_TOLD_YET else [kind.TOPIC.publisher])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_hears_only_what_somebody_tells(service: str) -> None:
    published = {event_type for service_events in ROLES.values() for event_type in service_events.tells}

    assert set(ROLES[service].hears) <= published | NOT_TOLD_YET


class Heard:
    """A Kafka that only remembers what it was asked to hear."""

    def __init__(self) -> None:
        self.topics: tuple[Topic, ...] = ()
        self.kinds: tuple[type[Event], ...] = ()

    def hear(self, *topics: Topic, kinds: tuple[type[Event], ...], batch: Any) -> None:
        self.topics, self.kinds = topics, kinds


@pytest.mark.parametrize("service", [service for service in SERVICES if ROLES[service].hears])
def test_a_service_subscribes_to_what_it_says_it_hears(service: str) -> None:
    subscribe = import_module(f"services.{service}.subscriptions").subscribe
    kafka = Heard()

    subscribe(cast(Kafka, kafka), *[None] * (len(inspect.signature(subscribe).parameters) - 1))

    assert set(kafka.kinds) == set(ROLES[service].hears)
    assert set(kafka.topics) == {
        topic for topic in SUBJECTS if topic in {event_type.TOPIC for event_type in kafka.kinds}
    }
