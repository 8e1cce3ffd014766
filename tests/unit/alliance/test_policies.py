"""A relationship is read under the policy of its clinic, whatever was known first, and whoever changed the file."""

from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services.alliance.domain.fold import fold
from services.alliance.domain.policy.policy import DEFAULT, Policies, Policy
from services.alliance.domain.state.history import Fact, clinic_of
from services.alliance.handlers.projector import Hear
from services.alliance.metrics import Metrics
from shared.events import AllianceUpdated, ClientErased, Event
from tests.support.builders import Told
from tests.support.fakes import AllianceStore
from tests.unit.alliance.test_fold import TOLD, histories

CLINIC = TOLD.started().clinic_id
WATCHFUL = Policy(concern=0.1, low_level=95.0, withdrawal=0.5, repair_ratings=4)
POLICIES = Policies(DEFAULT, {CLINIC: WATCHFUL})

REMEMBERED = histories().filter(lambda facts: not any(isinstance(fact, ClientErased) for fact in facts))
"""Of a client who is to be forgotten there is nothing left to read under another policy."""


class Hearing:
    """One relationship heard by a service that may be started again with other policies."""

    def __init__(self) -> None:
        self.store = AllianceStore()
        self.told: list[Event] = []
        self.registry = CollectorRegistry()
        self._metrics = Metrics(self.registry)

    async def _tell(self, events: Sequence[Event]) -> None:
        self.told += events

    def hear(self, facts: Sequence[Fact], policies: Policies) -> None:
        done(Hear(self.store, self._tell, policies, self._metrics)(facts))

    @property
    def refolds(self) -> float:
        return self.registry.get_sample_value("attune_alliance_refolds_total") or 0.0

    @property
    def policy_told(self) -> str:
        return [event for event in self.told if isinstance(event, AllianceUpdated)][-1].policy


def done(work: Coroutine[Any, Any, None]) -> None:
    """Run to its end what has nothing to wait for."""
    try:
        work.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits for something")


@settings(max_examples=40)
@given(facts=REMEMBERED, data=st.data())
def test_which_policy_counts_follows_from_what_is_known_and_not_from_what_came_first(
    facts: list[Fact], data: st.DataObject
) -> None:
    harness = Hearing()
    remaining = data.draw(st.permutations(facts))
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        batch, remaining = remaining[:size], remaining[size:]
        harness.hear(batch, POLICIES)

    state = harness.store.kept[TOLD.relationship]
    assert state.alliance == fold(facts, POLICIES.of(clinic_of(facts)))
    assert harness.policy_told == POLICIES.of(state.alliance.clinic_id).digest


@settings(max_examples=40)
@given(facts=REMEMBERED, data=st.data())
def test_after_a_policy_was_changed_what_is_touched_is_read_as_if_it_had_always_been_so(
    facts: list[Fact], data: st.DataObject
) -> None:
    harness = Hearing()
    split = data.draw(st.integers(0, len(facts) - 1))
    harness.hear(facts[:split], Policies())
    harness.hear(facts[split:], POLICIES)

    assert harness.store.kept[TOLD.relationship].alliance == fold(facts, WATCHFUL)


def test_a_clinic_that_becomes_known_later_brings_its_policy() -> None:
    harness = Hearing()
    events: list[Fact] = [TOLD.consent(-1, given=True), *(TOLD.felt(week, 9) for week in range(4)), TOLD.felt(4, 7)]

    harness.hear(events, POLICIES)
    policy_before = harness.policy_told
    harness.hear([TOLD.started()], POLICIES)

    assert (policy_before, harness.policy_told) == (DEFAULT.digest, WATCHFUL.digest)
    assert harness.store.kept[TOLD.relationship].alliance == fold([*events, TOLD.started()], WATCHFUL)


def test_a_clinic_that_is_told_as_the_newest_fact_still_counts_for_what_was_before() -> None:
    harness, late_start = Hearing(), TOLD.started().model_copy(update={"occurred_at": TOLD.at(9)})
    events: list[Fact] = [TOLD.consent(-1, given=True), *(TOLD.felt(week, 9) for week in range(4)), TOLD.felt(4, 7)]

    harness.hear(events, POLICIES)
    harness.hear([late_start], POLICIES)

    assert fold([*events, late_start], WATCHFUL) != fold([*events, late_start], DEFAULT)
    assert harness.store.kept[TOLD.relationship].alliance == fold([*events, late_start], WATCHFUL)


def test_what_is_read_under_the_policy_that_counts_is_not_read_again() -> None:
    harness = Hearing()
    harness.hear([TOLD.started(), TOLD.consent(-0.5, given=True)], POLICIES)
    for week in range(5):
        harness.hear([TOLD.held(week), TOLD.felt(week)], POLICIES)
    assert harness.refolds == 0

    harness.hear([TOLD.felt(5)], Policies())
    harness.hear([TOLD.felt(6)], Policies())

    assert harness.refolds == 1


def test_a_clinic_whose_policy_is_that_of_all_others_costs_no_second_reading() -> None:
    harness, builder = Hearing(), Told(UUID(int=7))
    harness.hear([builder.consent(-9, given=True)], POLICIES)
    harness.hear([builder.started(), builder.felt(0)], POLICIES)

    assert harness.refolds == 0
