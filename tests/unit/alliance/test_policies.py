"""A relationship is folded under its clinic's policy, even if the clinic becomes known late or the file changes."""

from collections.abc import Coroutine, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry
from pydantic import ValidationError

from services.alliance.domain.fold import fold
from services.alliance.domain.policy import policy
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies, Policy
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.memory import InMemoryStore
from shared.events import AllianceUpdated, ClientErased, Event
from tests.support.builders import RelationshipBuilder
from tests.unit.alliance.histories import BUILDER, histories

CLINIC = BUILDER.started().clinic_id
SENSITIVE_POLICY = Policy(base_rate=0.4, watch=0.05, concern=0.1, repair_ratings=4)
POLICIES = Policies(DEFAULT_POLICY, {CLINIC: SENSITIVE_POLICY})

UNERASED_HISTORIES = histories().filter(lambda events: not any(isinstance(event, ClientErased) for event in events))
"""An erased client has no events left that another policy could change."""


class ProjectorHarness:
    """One relationship in a service that may be restarted with other policies."""

    def __init__(self) -> None:
        self.store = InMemoryStore()
        self.published: list[Event] = []
        self.registry = CollectorRegistry()
        self._metrics = Metrics(self.registry)

    async def _publish(self, events: Sequence[Event]) -> None:
        self.published += events

    def handle(self, events: Sequence[HistoryEvent], policies: Policies) -> None:
        run_to_completion(AllianceProjector(self.store, self._publish, policies, self._metrics).handle_batch(events))

    @property
    def refolds(self) -> float:
        return self.registry.get_sample_value("attune_alliance_refolds_total") or 0.0

    @property
    def published_policy(self) -> str:
        return [event for event in self.published if isinstance(event, AllianceUpdated)][-1].policy


def run_to_completion(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("the coroutine waits for something")


@settings(max_examples=40)
@given(events=UNERASED_HISTORIES, data=st.data())
def test_the_policy_depends_on_the_known_events_and_not_on_their_order_of_arrival(
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
def test_after_a_policy_change_an_updated_relationship_is_folded_entirely_under_the_new_policy(
    events: list[HistoryEvent], data: st.DataObject
) -> None:
    harness = ProjectorHarness()
    split = data.draw(st.integers(0, len(events) - 1))
    harness.handle(events[:split], Policies())
    harness.handle(events[split:], POLICIES)

    assert harness.store.states[BUILDER.relationship_id].alliance == fold(events, SENSITIVE_POLICY)


def test_a_clinic_that_becomes_known_later_applies_its_policy() -> None:
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


def test_a_clinic_known_from_the_newest_event_applies_to_earlier_events_too() -> None:
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


def test_a_state_under_the_policy_in_force_is_not_refolded() -> None:
    harness = ProjectorHarness()
    harness.handle([BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)], POLICIES)
    for week in range(5):
        harness.handle([BUILDER.completed(week), BUILDER.feedback(week)], POLICIES)
    assert harness.refolds == 0

    harness.handle([BUILDER.feedback(5)], Policies())
    harness.handle([BUILDER.feedback(6)], Policies())

    assert harness.refolds == 1


def test_a_state_of_a_release_with_other_rules_is_refolded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    harness = ProjectorHarness()
    harness.handle([BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)], Policies(Policy()))
    monkeypatch.setattr(policy, "FOLD_REVISION", policy.FOLD_REVISION + 1)
    newer = Policies(Policy())

    for week in range(2):
        harness.handle([BUILDER.feedback(week)], newer)

    assert harness.refolds == 1


@pytest.mark.parametrize("sensitive", [Policy(base_rate=0.5), Policy(watch=0.01, concern=0.01, urgent=0.9)])
def test_a_drop_is_a_sign_although_a_relationship_starts_above_the_threshold(sensitive: Policy) -> None:
    """A policy that is to find more finds no less."""
    start: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    answers = [BUILDER.feedback(week, 9 if week < 8 else 5) for week in range(9)]

    usual, low = fold([*start, *answers[:-1]], sensitive), fold([*start, *answers], sensitive)

    assert usual.open_episode is None
    assert low.open_episode is not None
    assert {sign.detector for sign in low.open_episode.evidence} == {"sudden_drop"}


@pytest.mark.parametrize("name", ["client", "clinician", "element"])
@pytest.mark.parametrize("spread", ["varies", "spread"])
def test_a_prior_without_any_spread_is_invalid(name: str, spread: str) -> None:
    """Its ratings could not be compared with anything."""
    prior = DEFAULT_POLICY.model_dump()["prior"]

    with pytest.raises(ValidationError, match="greater than or equal to"):
        Policy.model_validate({"prior": {**prior, name: {**prior[name], spread: 1e-9}}})


def test_policies_are_identified_together() -> None:
    """By every clinic's policy, and not by the order in which the files are read."""
    other = UUID(int=9)

    assert POLICIES.digest == Policies(Policy(), {CLINIC: SENSITIVE_POLICY.model_copy()}).digest
    assert Policies(DEFAULT_POLICY, {CLINIC: SENSITIVE_POLICY, other: DEFAULT_POLICY}).digest == (
        Policies(DEFAULT_POLICY, {other: DEFAULT_POLICY, CLINIC: SENSITIVE_POLICY}).digest
    )
    others = (Policies(), Policies(SENSITIVE_POLICY), Policies(DEFAULT_POLICY, {other: SENSITIVE_POLICY}))
    assert len({POLICIES.digest, *(policies.digest for policies in others)}) == 4


def test_a_clinic_with_the_default_policy_causes_no_refold() -> None:
    harness, builder = ProjectorHarness(), RelationshipBuilder(UUID(int=7))
    harness.handle([builder.consent_changed(-9, given=True)], POLICIES)
    harness.handle([builder.started(), builder.feedback(0)], POLICIES)

    assert harness.refolds == 0
