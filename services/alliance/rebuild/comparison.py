"""The differences between the stored view of one relationship and what the topics say."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import Policies
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.rebuild.recorded_history import RecordedHistory
from services.alliance.rebuild.stored_view import compare_state
from services.alliance.store.protocol import VersionedState
from shared.mongo.client import Document


@dataclass(frozen=True, slots=True)
class CurrentView:
    """What is stored of one relationship."""

    state: Document | None
    events: Mapping[UUID, bytes]
    disposition_ids: frozenset[UUID]
    reopening_ids: frozenset[UUID]


class Comparison:
    """Compares one relationship."""

    def __init__(self, recorded: RecordedHistory, current: CurrentView, policies: Policies) -> None:
        self._recorded = recorded
        self._current = current
        self._policies = policies
        self._expected = self._refold(list(recorded.events.values()))
        self._erasure_id = self._expected.alliance.erasure_id
        self._unexpected = current.events.keys() - recorded.events.keys()

    @property
    def is_under_other_policy(self) -> bool:
        """Whether the stored state was computed under a policy that is no longer in force; it is not compared then."""
        state = self._current.state
        return (
            self._erasure_id is None
            and state is not None
            and state.get("policy") != self._expected.result.policy_digest
        )

    def list_names(self) -> Iterator[str]:
        """What differs."""
        if not self.is_under_other_policy:
            yield from self._compare_state()
        stored = self._current.events
        missing, different = self._recorded.find_missing_and_different(stored, self._erasure_id)
        if missing:
            yield f"{len(missing)} events missing"
        if different:
            yield f"{len(different)} events different"
        if self._unexpected:
            yield f"{len(self._unexpected)} events not on the topics"
        if self._erasure_id is None:
            resolved_ids = {event.id for event in self._recorded.resolved}
            if missing_ids := resolved_ids - self._current.disposition_ids:
                yield f"{len(missing_ids)} dispositions missing"
            reopened_ids = {event.id for event in self._recorded.reopened}
            if missing_ids := reopened_ids - self._current.reopening_ids:
                yield f"{len(missing_ids)} reopenings missing"
        elif unerased_ids := stored.keys() & self._recorded.events.keys() - {self._erasure_id}:
            yield f"{len(unerased_ids)} events not erased"

    def _compare_state(self) -> tuple[str, ...]:
        """Events that only the database has may be in the state or not."""
        if not self._recorded.events:
            return ()
        names = compare_state(self._current.state, self._expected)
        if names and self._unexpected:
            unexpected_events = self._recorded.decode_all(self._current.events, self._unexpected)
            with_unexpected = self._refold([*self._recorded.events.values(), *unexpected_events])
            return compare_state(self._current.state, with_unexpected) and names
        return names

    def _refold(self, events: list[HistoryEvent]) -> VersionedState:
        policy = self._policies.policy_for(clinic_of(events))
        return VersionedState(self._recorded.relationship, refold(events, policy))
