"""Events match their schemas: those published now, and all that were ever stored."""

import json
from functools import partial
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from shared.errors import Permanent
from shared.events import EVENT_TYPES, Event, RuptureEnded, by_type
from shared.events.cloudevents import decode, encode
from tests.contract import golden
from tests.contract.examples import EXAMPLES
from tools.contracts.documents import (
    REGENERATE_COMMAND,
    find_incompatibilities,
    read_committed,
    removed_event_schemas,
    schema_path,
    serialize,
)
from tools.contracts.schemas import wire_schema

every_event_type = partial(
    pytest.mark.parametrize, "event_type", EVENT_TYPES, ids=[event_type.event_type() for event_type in EVENT_TYPES]
)
every_example = partial(pytest.mark.parametrize, "event", EXAMPLES, ids=[str(event.event_type()) for event in EXAMPLES])


def committed_validator(event_type: type[Event]) -> Draft202012Validator:
    """A validator of the committed schema of an event type."""
    schema = read_committed(schema_path(event_type.event_type()))
    assert schema, f"there is no schema of {event_type.event_type()}; run: {REGENERATE_COMMAND}"
    return Draft202012Validator(json.loads(schema), format_checker=Draft202012Validator.FORMAT_CHECKER)


@every_event_type()
def test_the_committed_schema_of_an_event_is_up_to_date(event_type: type[Event]) -> None:
    path = schema_path(event_type.event_type())
    if read_committed(path) == serialize(wire_schema(event_type)):
        return
    if reasons := find_incompatibilities(path, wire_schema(event_type)):
        pytest.fail("breaks readers or stored events; add a new version next to it:\n" + "\n".join(reasons))
    pytest.fail(f"docs/{path} is out of date; the change is compatible, so run: {REGENERATE_COMMAND}")


def test_no_event_type_with_stored_events_is_removed() -> None:
    assert removed_event_schemas() == []
    assert {file.stem for file in golden.GOLDEN_DIR.glob("*.json")} == set(by_type(EVENT_TYPES))


@every_event_type()
def test_the_committed_schema_is_a_valid_json_schema(event_type: type[Event]) -> None:
    Draft202012Validator.check_schema(committed_validator(event_type).schema)


@every_example()
def test_a_published_event_matches_its_committed_schema(event: Event) -> None:
    committed_validator(type(event)).validate(json.loads(encode(event)))


@every_example()
def test_encoding_and_decoding_keep_an_event_unchanged(event: Event) -> None:
    assert decode(encode(event), by_type(EVENT_TYPES)) == event


@every_event_type()
def test_an_event_stored_long_ago_matches_the_current_schema(event_type: type[Event]) -> None:
    for event in golden.stored_events(event_type.event_type()):
        committed_validator(event_type).validate(event)


@every_event_type()
def test_an_event_stored_long_ago_is_decoded_without_loss(event_type: type[Event]) -> None:
    assert golden.golden_path(event_type.event_type()).exists(), (
        "no event of this type is stored; run: python -m tests.contract.golden"
    )
    events = golden.stored_events(event_type.event_type())
    assert events
    for event in events:
        read = decode(json.dumps(event).encode(), by_type(EVENT_TYPES))
        assert read is not None
        assert_contains(json.loads(encode(read)), event)


def test_an_event_with_a_newer_reason_is_dead_lettered_and_stops_nothing() -> None:
    """The error is permanent; so a new reason is accepted by one release before the next one publishes it."""
    (ended, *_) = golden.stored_events(RuptureEnded.event_type())
    newer = {**ended, "data": {**ended["data"], "reason": "forgotten"}}

    with pytest.raises(Permanent, match="reason"):
        decode(json.dumps(newer).encode(), by_type(EVENT_TYPES))


def assert_contains(actual: Any, expected: Any, path: str = "") -> None:
    """`actual` has everything that `expected` has; it may have more."""
    if isinstance(expected, dict):
        for name, value in expected.items():
            assert name in actual, f"{path}.{name} is lost"
            assert_contains(actual[name], value, f"{path}.{name}")
    elif isinstance(expected, list):
        assert len(actual) == len(expected), path
        for index, (a, b) in enumerate(zip(actual, expected, strict=True)):
            assert_contains(a, b, f"{path}[{index}]")
    else:
        assert actual == expected, path
