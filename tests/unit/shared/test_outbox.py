"""An outbox entry becomes the message that its event had when it was stored."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from shared.errors import DecodeError
from shared.events import Event
from shared.events.cloudevents import encode
from shared.kafka.producer import event_message
from shared.outbox.relay import entry_message, outbox_entries
from tests.contract.examples import EXAMPLES
from tests.support.outbox import create_old_entry

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda event: type(event).__name__)
def test_a_stored_event_has_the_same_message_as_an_event_that_is_published_directly(event: Event) -> None:
    (entry,) = outbox_entries([event], NOW)

    assert entry_message(entry) == event_message(event)
    assert entry_message(entry).value == encode(event) == entry["event"].encode()


def test_an_entry_of_an_older_version_goes_unchanged_to_its_topic_under_its_key() -> None:
    entry = create_old_entry(UUID(int=7), since=NOW)

    message = entry_message(entry)

    assert (message.topic, message.key) == ("clinic.alerts", str(UUID(int=7)).encode())
    assert message.value == entry["event"].encode()
    assert message.headers == [("content-type", b"application/cloudevents+json")]


def test_an_entry_of_an_unknown_type_is_an_error_and_not_dropped() -> None:
    entry = create_old_entry(UUID(int=7), since=NOW)
    entry["event"] = entry["event"].replace("clinic.alert.resolved.v1", "clinic.weather.changed.v1")

    with pytest.raises(DecodeError, match=r"clinic\.weather\.changed\.v1"):
        entry_message(entry)
