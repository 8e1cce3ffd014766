"""What the topics say about one relationship, beside what the database says."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.alliance.domain.state.history import HISTORY_EVENTS, HistoryEvent, choose_content
from shared.errors import DecodeError
from shared.events import AlertReopened, AlertResolved, by_type
from shared.events.cloudevents import decode
from shared.rebuild.history import History

_EVENT_TYPES = by_type(HISTORY_EVENTS)


@dataclass(slots=True)
class RecordedHistory:
    """The events of one relationship on the topics: each once, with the content that counts."""

    relationship: UUID
    events: dict[UUID, HistoryEvent] = field(default_factory=dict)
    messages: dict[UUID, bytes] = field(default_factory=dict)
    resolved: list[AlertResolved] = field(default_factory=list)
    reopened: list[AlertReopened] = field(default_factory=list)

    @classmethod
    def from_history(cls, relationship: UUID, history: History) -> "RecordedHistory":
        recorded = cls(relationship)
        for each in history:
            event = each.event
            if isinstance(event, AlertResolved):
                recorded.resolved.append(event)
            elif isinstance(event, AlertReopened):
                recorded.reopened.append(event)
            if isinstance(event, HISTORY_EVENTS):
                known = recorded.events.get(event.id)
                if known is not None and choose_content(known, event) == known:
                    continue
                recorded.events[event.id] = event
                recorded.messages[event.id] = each.message
        return recorded

    def with_stored_events(self, stored: Mapping[UUID, bytes]) -> list[HistoryEvent]:
        """The events on the topics, and those that only the database has: they arrived after the topics were read."""
        return [*self.events.values(), *self.decode_all(stored, stored.keys() - self.events.keys())]

    def decode_all(self, stored: Mapping[UUID, bytes], event_ids: Iterable[UUID]) -> list[HistoryEvent]:
        """Those of the stored events that can be decoded."""
        return [
            event for event_id in event_ids if (event := decode_stored(stored[event_id], self.relationship)) is not None
        ]

    def find_missing_and_different(
        self, stored: Mapping[UUID, bytes], erasure_id: UUID | None
    ) -> tuple[list[HistoryEvent], list[HistoryEvent]]:
        """The events that are not stored, and those that are stored differently.

        Of an erased client only the erasure should be stored.
        """
        wanted = {event_id: event for event_id, event in self.events.items() if erasure_id in (None, event_id)}
        missing = [event for event_id, event in wanted.items() if event_id not in stored]
        different = [
            event
            for event_id, event in wanted.items()
            if event_id in stored
            and stored[event_id] != self.messages[event_id]
            and decode_stored(stored[event_id], self.relationship) != event
        ]
        return missing, different


def decode_stored(stored_event: bytes, relationship: UUID) -> HistoryEvent | None:
    """The stored event; None if it cannot be decoded, or is about another relationship."""
    try:
        event = decode(stored_event, _EVENT_TYPES, max_bytes=None)
    except (DecodeError, TypeError):
        return None
    return event if event and event.relationship_id == relationship else None
