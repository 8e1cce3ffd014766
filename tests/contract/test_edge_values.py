"""What can be decoded can also be handled, stored and read back, however unusual its values are."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import reduce
from operator import getitem
from typing import Any

import bson
import pytest
from bson.codec_options import CodecOptions
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import TypeAdapter, ValidationError

from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import HISTORY_EVENTS
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from services.notify.subscriptions import CONSUMED_EVENTS as NOTIFY_EVENTS
from services.sessions.handlers import handle_batch as handle_in_sessions
from services.sessions.store.memory import InMemoryStore as SessionsStore
from services.sessions.subscriptions import CONSUMED_EVENTS as SESSIONS_EVENTS
from shared.errors import DecodeError
from shared.events import EVENT_TYPES, Event, UtcDatetime, by_type
from shared.events.cloudevents import decode, encode
from shared.runtime.clock import now
from tests.contract.examples import EXAMPLES
from tests.unit.notify.memory_harness import InMemoryNotifyHarness

MOMENT: TypeAdapter[datetime] = TypeAdapter(UtcDatetime)
BSON = CodecOptions[dict[str, Any]](uuid_representation=bson.binary.UuidRepresentation.STANDARD, tz_aware=True)
EVENT_TYPES_BY_NAME = by_type(EVENT_TYPES)

DAY_SECONDS = 86_400
OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))
EDGES = st.sampled_from([datetime(year, 1, 1, tzinfo=UTC) for year in (2, 1901, 1970, 2200, 9999)])
EDGE_MOMENTS = st.builds(
    lambda edge, seconds, zone: (edge + timedelta(seconds=seconds)).replace(tzinfo=zone),
    EDGES,
    st.floats(-DAY_SECONDS, DAY_SECONDS),
    OFFSETS,
)
EDGE_NUMBERS = st.sampled_from(
    (-1, 0, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**30, -0.0, 5e-324, 1e-9, 0.5, 1e17, 1.7976931348623157e308)
)
EDGE_TEXTS = st.sampled_from(("", "\x00", "a.b", "$a", "\U0001f600", "trust", "urgent", "ended", "transferred"))
OTHER_VALUES: st.SearchStrategy[Any] = st.sampled_from((None, True, [], {}))


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values that have no parts of their own."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not parts:
        yield path
    for name, part in parts:
        yield from leaves(part, (*path, name))


def replaced(value: Any, path: Sequence[Any], leaf: Any) -> Any:
    if not path:
        return leaf
    part = replaced(value[path[0]], path[1:], leaf)
    return {**value, path[0]: part} if isinstance(value, dict) else [*value[: path[0]], part, *value[path[0] + 1 :]]


def similar_edge_values(leaf: Any) -> st.SearchStrategy[Any]:
    """Edge values of the kind that the field holds, so that many of them are valid."""
    if isinstance(leaf, str):
        return st.one_of(EDGE_MOMENTS.map(datetime.isoformat), EDGE_TEXTS) if leaf[:1].isdigit() else EDGE_TEXTS
    return EDGE_NUMBERS if isinstance(leaf, int | float) else OTHER_VALUES


@st.composite
def unusual_messages(draw: st.DrawFn) -> bytes:
    """A message of any type in which up to three values are replaced by edge values."""
    message = json.loads(encode(draw(st.sampled_from(EXAMPLES))))
    for path in draw(st.lists(st.sampled_from(list(leaves(message))), min_size=1, max_size=3, unique=True)):
        leaf = reduce(getitem, path, message)
        message = replaced(message, path, draw(st.one_of(similar_edge_values(leaf), OTHER_VALUES)))
    return json.dumps(message).encode()


@given(moment=EDGE_MOMENTS)
def test_a_moment_that_is_valid_once_is_valid_again(moment: datetime) -> None:
    for given_as in (moment, moment.isoformat()):
        try:
            once = MOMENT.validate_python(given_as)
        except ValidationError:
            continue
        assert MOMENT.validate_python(once) == once
        assert MOMENT.validate_python(once.isoformat()) == once


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ("1901-01-01T00:30:00+01:00", False),
        ("1900-12-31T23:30:00-01:00", True),
        ("2199-12-31T23:30:00-01:00", False),
        ("2200-01-01T00:30:00+01:00", True),
        ("0001-01-01T00:00:00+14:00", False),
        ("9999-12-31T23:59:59-14:00", False),
    ],
)
def test_the_year_of_a_moment_is_the_one_in_utc(text: str, is_valid: bool) -> None:
    if is_valid:
        assert MOMENT.validate_python(text) == datetime.fromisoformat(text).astimezone(UTC)
    else:
        with pytest.raises(ValidationError, match="outside the years"):
            MOMENT.validate_python(text)


@settings(max_examples=500)
@given(message=unusual_messages())
def test_whatever_can_be_decoded_survives_encoding_and_storing(message: bytes) -> None:
    try:
        event = decode(message, EVENT_TYPES_BY_NAME)
    except DecodeError:
        return
    if event is None:  # its type is one of the replaced values
        return
    assert decode(encode(event), EVENT_TYPES_BY_NAME) == event
    stored = bson.encode(event.model_dump(), codec_options=BSON)
    assert type(event).model_validate(bson.decode(stored, BSON)) == event


@given(message=unusual_messages())
async def test_whatever_can_be_decoded_can_be_handled(message: bytes) -> None:
    """Not that each value makes sense: only that one message cannot stop a consumer."""
    try:
        event = decode(message, EVENT_TYPES_BY_NAME)
    except DecodeError:
        return
    if isinstance(event, HISTORY_EVENTS):
        projector = AllianceProjector(InMemoryStore(), _publish, Policies(), Metrics(CollectorRegistry()))
        await projector.handle_batch([event])
    if isinstance(event, NOTIFY_EVENTS):
        await InMemoryNotifyHarness().projector.handle_batch([event])
    if isinstance(event, SESSIONS_EVENTS):
        await handle_in_sessions([event], SessionsStore(now))


async def _publish(events: Sequence[Event]) -> None:
    for message in map(encode, events):
        assert decode(message, EVENT_TYPES_BY_NAME) is not None
