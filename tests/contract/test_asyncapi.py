"""The AsyncAPI document is valid, and the services publish and consume what it says."""

import inspect
import json
from collections.abc import Iterator
from importlib import import_module
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

from shared.events import EVENT_TYPES, ClientErased, Event
from shared.events.topics import ALL_TOPICS, EVENT_TOPICS, Topic
from shared.kafka import Kafka
from tools.contracts.asyncapi import asyncapi
from tools.contracts.documents import DOCS, REGENERATE_COMMAND, SERVICES, read_committed, serialize, service_events

EVENTS_OF_SERVICES = {service: service_events(service) for service in SERVICES}
DOCUMENT = asyncapi(EVENTS_OF_SERVICES)
NOT_PUBLISHED_YET: set[type[Event]] = {ClientErased}  # services handle it already; intake cannot erase a client yet


def test_the_document_is_up_to_date() -> None:
    assert read_committed("asyncapi.json") == serialize(DOCUMENT), (
        f"docs/asyncapi.json is out of date; run: {REGENERATE_COMMAND}"
    )


def test_the_document_is_valid_asyncapi_3() -> None:
    read = ApplicationSchema.model_validate(DOCUMENT)

    assert set(read.channels) == {topic.name for topic in ALL_TOPICS}
    assert all(operation.action in ("send", "receive") for operation in read.operations.values())


def test_every_reference_in_the_document_resolves() -> None:
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


@pytest.mark.parametrize("event_type", EVENT_TYPES, ids=[event_type.event_type() for event_type in EVENT_TYPES])
def test_every_event_is_published_only_by_the_service_that_owns_its_topic(event_type: type[Event]) -> None:
    publishers = [
        service for service, service_events in EVENTS_OF_SERVICES.items() if event_type in service_events.published
    ]

    assert publishers == ([] if event_type in NOT_PUBLISHED_YET else [event_type.TOPIC.publisher])


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_consumes_only_events_that_are_published(service: str) -> None:
    published = {
        event_type for service_events in EVENTS_OF_SERVICES.values() for event_type in service_events.published
    }

    assert set(EVENTS_OF_SERVICES[service].consumed) <= published | NOT_PUBLISHED_YET


class SubscriptionRecorder:
    """A Kafka that only records its subscription."""

    def __init__(self) -> None:
        self.topics: tuple[Topic, ...] = ()
        self.event_types: tuple[type[Event], ...] = ()

    def subscribe(self, *topics: Topic, event_types: tuple[type[Event], ...], handler: Any) -> None:
        self.topics, self.event_types = topics, event_types


@pytest.mark.parametrize("service", [service for service in SERVICES if EVENTS_OF_SERVICES[service].consumed])
def test_a_service_subscribes_to_the_events_that_it_declares(service: str) -> None:
    subscribe = import_module(f"services.{service}.subscriptions").subscribe
    kafka = SubscriptionRecorder()

    unused = SimpleNamespace(handle_batch=None)
    subscribe(cast(Kafka, kafka), *[unused] * (len(inspect.signature(subscribe).parameters) - 1))

    assert set(kafka.event_types) == set(EVENTS_OF_SERVICES[service].consumed)
    assert set(kafka.topics) == {
        topic for topic in EVENT_TOPICS if topic in {event_type.TOPIC for event_type in kafka.event_types}
    }
