"""A relationship is read under the policy of its clinic, whatever was known first, and whoever changed the file."""

from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies, Policy
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from shared.events import AllianceUpdated, ClientErased, Event
from tests.support.builders import RelationshipBuilder
from tests.support.fakes import InMemoryAllianceStore
from tests.unit.alliance.test_fold import BUILDER, histories

CLINIC = BUILDER.started().clinic_id
SENSITIVE_POLICY = Policy(concern=0.1, low_level=95.0, withdrawal=0.5, repair_ratings=4)
POLICIES = Policies(DEFAULT_POLICY, {CLINIC: SENSITIVE_POLICY})

UNERASED_HISTORIES = histories().filter(lambda facts: not any(isinstance(fact, ClientErased) for fact in facts))
"""Of a client who is to be forgotten there is nothing left to read under another policy."""


class ProjectorHarness:
    """One relationship heard by a service that may be started again with other policies."""

    def __init__(self) -> None:
        self.store = InMemoryAllianceStore()
        self.published: list[Event] = []
        self.registry = CollectorRegistry()
        self._metrics = Metrics(self.registry)

    async def _publish(self, events: Sequence[Event]) -> None:
        self.published += events

    def handle(self, events: Sequence[HistoryEvent], policies: Policies) -> None:
        run_to_completion(AllianceProjector(self.store, self._publish, policies, self._metrics)(events))

    @property
    def refolds(self) -> float:
        return self.registry.get_sample_value("attune_alliance_refolds_total") or 0.0

    @property
    def published_policy(self) -> str:
        return [event for event in self.published if isinstance(event, AllianceUpdated)][-1].policy


def run_to_completion(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run to its end what has nothing to wait for."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


@settings(max_examples=40)
@given(events=UNERASED_HISTORIES, data=st.data())
def test_which_policy_counts_follows_from_what_is_known_and_not_from_what_came_first(
    events: list[HistoryEvent], data: st.DataObject
) -> None:
    harness = ProjectorHarness()
    remaining = data.draw(st.permutations(events))
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        batch, remaining = remaining[:size], remaining[size:]
        harness.handle(batch, POLICIES)

    state = harness.store.states[BUILDER.relationship_id]
    assert state.alliance == fold(events, POLICIES.policy_for(clinic_of(events)))
    assert harness.published_policy == POLICIES.policy_for(state.alliance.clinic_id).digest


@settings(max_examples=40)
@given(events=UNERASED_HISTORIES, data=st.data())
def test_after_a_policy_was_changed_what_is_touched_is_read_as_if_it_had_always_been_so(
    events: list[HistoryEvent], data: st.DataObject
) -> None:
    harness = ProjectorHarness()
    split = data.draw(st.integers(0, len(events) - 1))
    harness.handle(events[:split], Policies())
    harness.handle(events[split:], POLICIES)

    assert harness.store.states[BUILDER.relationship_id].alliance == fold(events, SENSITIVE_POLICY)


def test_a_clinic_that_becomes_known_later_brings_its_policy() -> None:
    harness = ProjectorHarness()
    events: list[HistoryEvent] = [
        BUILDER.consent_changed(-1, given=True),
        *(BUILDER.feedback(week, 9) for week in range(4)),
        BUILDER.feedback(4, 7),
    ]

    harness.handle(events, POLICIES)
    policy_before = harness.published_policy
    harness.handle([BUILDER.started()], POLICIES)

    assert (policy_before, harness.published_policy) == (DEFAULT_POLICY.digest, SENSITIVE_POLICY.digest)
    assert harness.store.states[BUILDER.relationship_id].alliance == fold(
        [*events, BUILDER.started()], SENSITIVE_POLICY
    )


def test_a_clinic_that_is_told_as_the_newest_fact_still_counts_for_what_was_before() -> None:
    harness, late_start = ProjectorHarness(), BUILDER.started().model_copy(update={"occurred_at": BUILDER.at(9)})
    events: list[HistoryEvent] = [
        BUILDER.consent_changed(-1, given=True),
        *(BUILDER.feedback(week, 9) for week in range(4)),
        BUILDER.feedback(4, 7),
    ]

    harness.handle(events, POLICIES)
    harness.handle([late_start], POLICIES)

    assert fold([*events, late_start], SENSITIVE_POLICY) != fold([*events, late_start], DEFAULT_POLICY)
    assert harness.store.states[BUILDER.relationship_id].alliance == fold([*events, late_start], SENSITIVE_POLICY)


def test_what_is_read_under_the_policy_that_counts_is_not_read_again() -> None:
    harness = ProjectorHarness()
    harness.handle([BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)], POLICIES)
    for week in range(5):
        harness.handle([BUILDER.completed(week), BUILDER.feedback(week)], POLICIES)
    assert harness.refolds == 0

    harness.handle([BUILDER.feedback(5)], Policies())
    harness.handle([BUILDER.feedback(6)], Policies())

    assert harness.refolds == 1


def test_a_clinic_whose_policy_is_that_of_all_others_costs_no_second_reading() -> None:
    harness, builder = ProjectorHarness(), RelationshipBuilder(UUID(int=7))
    harness.handle([builder.consent_changed(-9, given=True)], POLICIES)
    harness.handle([builder.started(), builder.feedback(0)], POLICIES)

    assert harness.refolds == 0
