"""Encoding and decoding of events. A decode error states the field and the reason, never the content."""

import json
import re
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import DecodeError
from shared.events import EVENT_TYPES, Event, FeedbackSubmitted, by_type
from shared.events.cloudevents import MAX_EVENT_BYTES, decode, encode
from tests.support.builders import RelationshipBuilder

EVENT_TYPES_BY_NAME = by_type(EVENT_TYPES)


@given(rating=st.floats(0, 10), tension=st.sampled_from(["none", "a_little", "yes", None]))
def test_encoding_and_decoding_keep_an_answer_unchanged(rating: float, tension: Any) -> None:
    event = RelationshipBuilder().feedback(3, rating, tension=tension)

    assert decode(encode(event), EVENT_TYPES_BY_NAME) == event


@pytest.mark.parametrize(
    "event",
    [
        RelationshipBuilder().started(),
        RelationshipBuilder().completed(1),
        RelationshipBuilder().missed(2),
        RelationshipBuilder().cancelled(3),
        RelationshipBuilder().lapsed(4),
        RelationshipBuilder().amended(5, 7),
    ],
    ids=lambda event: type(event).__name__,
)
def test_an_event_is_a_cloudevent_keyed_by_what_it_is_about(event: Event) -> None:
    wire = json.loads(encode(event))

    assert wire["specversion"] == "1.0"
    assert wire["type"] == event.event_type()
    assert wire["id"] == str(event.id)
    assert wire["partitionkey"] == str(event.key)
    assert decode(encode(event), EVENT_TYPES_BY_NAME) == event


def test_every_event_type_has_a_unique_name() -> None:
    assert len(EVENT_TYPES_BY_NAME) == len(EVENT_TYPES)
    assert all(re.fullmatch(r"clinic(\.[a-z_]+)+\.v[1-9]", name) for name in EVENT_TYPES_BY_NAME)


def test_an_unknown_event_type_is_not_an_error() -> None:
    assert decode(_altered_message(type="clinic.weather.changed.v1"), EVENT_TYPES_BY_NAME) is None


def test_a_field_added_by_a_newer_sender_is_ignored() -> None:
    event = RelationshipBuilder().feedback(0)
    wire = json.loads(encode(event))
    wire["data"]["mood"] = "new"
    wire["traceparent"] = "00-1"

    assert decode(json.dumps(wire).encode(), EVENT_TYPES_BY_NAME) == event


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "message: is empty"),
        (b"\x00\xff", "message: is not JSON"),
        (b"7", "message: is not a JSON object"),
        (b"{}", "missing"),
        (b" " * (MAX_EVENT_BYTES + 1), f"message: is larger than {MAX_EVENT_BYTES} bytes"),
    ],
)
def test_a_message_that_is_not_an_event_cannot_be_decoded(message: bytes | None, reason: str) -> None:
    with pytest.raises(DecodeError, match=reason):
        decode(message, EVENT_TYPES_BY_NAME)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"specversion": "0.3"}, "specversion"),
        ({"id": "Anna"}, "id"),
        ({"partitionkey": "Anna"}, "relationship_id"),
        ({"time": "2026-01-05T12:00:00"}, "timezone"),
        ({"time": "0001-01-01T00:00:00+12:00"}, "years"),
        ({"time": "9999-12-31T23:59:59Z"}, "years"),
        ({"time": 20261120}, "not a date and time"),
        ({"time": "20261120"}, "not a date and time"),
        ({"data": {"ratings": {"trust": True}}}, "ratings"),
        ({"data": {"ratings": {"trust": "7"}}}, "ratings"),
        ({"data": ["Anna"]}, "data"),
        ({"type": ["Anna"]}, "type"),
        ({"data": {"ratings": {"Anna": 3}}}, "ratings"),
    ],
)
def test_a_decode_error_states_field_and_reason_but_not_the_content(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DecodeError, match=reason) as raised:
        decode(_altered_message(**changes), EVENT_TYPES_BY_NAME)
    assert "Anna" not in str(raised.value)


def test_a_decode_error_is_short_however_much_is_wrong() -> None:
    """It becomes a header of the dead letter, which would otherwise be larger than Kafka accepts."""
    ratings = {f"{number:x}": 99 for number in range(5_000)}
    message = _altered_message(data={"session_id": str(uuid4()), "rater": "client", "ratings": ratings})
    assert len(message) < MAX_EVENT_BYTES

    with pytest.raises(DecodeError, match="ratings: Input should be less than or equal to 10") as raised:
        decode(message, EVENT_TYPES_BY_NAME)
    assert len(str(raised.value)) < 1_000


def test_derived_ids_are_the_same_every_time() -> None:
    event = RelationshipBuilder().feedback(0)

    assert event.derive_id("rupture") == event.model_copy().derive_id("rupture")
    assert event.derive_id("rupture") != event.derive_id("repair")


def test_an_answer_that_contradicts_itself_is_rejected() -> None:
    with pytest.raises(ValueError, match="not that there was one"):
        FeedbackSubmitted.model_validate({**RelationshipBuilder().feedback(0).model_dump(), "talked_about": "yes"})
    with pytest.raises(ValueError, match="neither a rating nor"):
        FeedbackSubmitted.model_validate({**RelationshipBuilder().feedback(0).model_dump(), "ratings": {}})


def _altered_message(**changes: Any) -> bytes:
    wire = json.loads(encode(RelationshipBuilder().feedback(0)))
    if "data" in changes and isinstance(changes["data"], dict):
        changes["data"] = {**wire["data"], **changes["data"]}
    return json.dumps({**wire, **changes}).encode()
