"""An alliance is the same in whatever order its events arrive."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from services.alliance.domain.fold import evolve, fold, fold_forward, refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent, clinic_of, clinician_of, sort_events, sort_key
from shared.events import RelationshipAimsUpdated
from tests.unit.alliance.histories import BUILDER, histories


@given(events=histories(), data=st.data())
def test_the_order_of_arrival_does_not_matter(events: list[HistoryEvent], data: st.DataObject) -> None:
    assert fold(data.draw(st.permutations(events)), DEFAULT_POLICY) == fold(events, DEFAULT_POLICY)


@given(events=histories(), data=st.data())
def test_a_redelivered_event_changes_nothing(events: list[HistoryEvent], data: st.DataObject) -> None:
    duplicates = data.draw(st.lists(st.sampled_from(events)))

    assert fold([*events, *duplicates], DEFAULT_POLICY) == fold(events, DEFAULT_POLICY)


@given(events=histories(), data=st.data())
def test_folding_newer_events_forward_equals_a_refold(events: list[HistoryEvent], data: st.DataObject) -> None:
    """The fast path against the full refold, for every way of cutting a history into batches."""
    remaining = data.draw(st.permutations(events))
    seen: list[HistoryEvent] = []
    alliance = Alliance()
    while remaining:
        size = data.draw(st.integers(1, len(remaining)))
        batch, remaining = remaining[:size], remaining[size:]
        seen += batch
        if all(alliance.precedes(event) for event in batch):
            alliance = fold_forward(alliance, batch, DEFAULT_POLICY).alliance
        else:
            alliance = fold(seen, DEFAULT_POLICY)

    assert alliance == fold(events, DEFAULT_POLICY)


@given(events=histories())
def test_folding_events_one_by_one_equals_folding_them_at_once(events: list[HistoryEvent]) -> None:
    alliance = Alliance()
    seen: list[HistoryEvent] = []
    for event in sort_events(events):
        seen.append(event)
        alliance = evolve(alliance, event, DEFAULT_POLICY) if alliance.precedes(event) else fold(seen, DEFAULT_POLICY)

    assert alliance == fold(events, DEFAULT_POLICY)


SEARCH = settings(max_examples=500, database=None, derandomize=True, phases=[Phase.generate])
EVERY_END = {"level_shift", "superseded", "resolved"}


def has_end(reason: str) -> Callable[[list[HistoryEvent]], bool]:
    return lambda events: any(ended.reason == reason for ended in refold(events, DEFAULT_POLICY).ended_episodes)


@pytest.mark.parametrize("reason", sorted(EVERY_END))
def test_the_histories_contain_every_end_of_an_episode(reason: str) -> None:
    """The laws above would not hold for what never happens."""
    assert has_end(reason)(find(histories(), has_end(reason), settings=SEARCH))


def test_the_histories_contain_several_scales() -> None:
    assert find(histories(), lambda events: len(fold(events, DEFAULT_POLICY).other_scales) > 1, settings=SEARCH)


def test_no_events_give_an_empty_alliance() -> None:
    assert fold([], DEFAULT_POLICY) == Alliance()


def test_an_episode_that_opens_and_closes_within_one_batch_is_reported() -> None:
    ratings = [9, 9, 9, 9, 9, 2, 9, 9, 9, 9, 2, 9, 9]
    events = [
        BUILDER.consent_changed(-0.5, given=True),
        *(BUILDER.feedback(week, rating) for week, rating in enumerate(ratings)),
    ]

    assert len(refold(events, DEFAULT_POLICY).repaired_episodes) == 2


def test_updated_aims_change_no_score() -> None:
    events: list[HistoryEvent] = [
        BUILDER.consent_changed(-0.5, given=True),
        *(BUILDER.feedback(week) for week in range(4)),
    ]
    updated = RelationshipAimsUpdated(
        id=UUID(int=1), occurred_at=BUILDER.at(2.5), relationship_id=BUILDER.relationship_id, aims=("loss",)
    )

    assert fold([*events, updated], DEFAULT_POLICY) == fold(events, DEFAULT_POLICY)


def test_whatever_arrives_after_an_erasure_is_not_known() -> None:
    erased = fold([BUILDER.started(), BUILDER.erased(1)], DEFAULT_POLICY)
    late: list[HistoryEvent] = [
        BUILDER.started().model_copy(update={"occurred_at": BUILDER.at(2)}),
        BUILDER.feedback(3),
    ]

    alliance = fold_forward(erased, late, DEFAULT_POLICY).alliance

    assert alliance == Alliance(last_event_key=sort_key(late[-1]), erasure_id=BUILDER.erased(1).id)


def test_of_two_starts_the_later_one_counts_wherever_it_is_in_the_history() -> None:
    first = BUILDER.started()
    second = first.model_copy(
        update={"id": UUID(int=2), "occurred_at": BUILDER.at(3), "clinic_id": UUID(int=3), "clinician_id": UUID(int=4)}
    )

    for events in ([first, second], [second, first]):
        alliance = fold(events, DEFAULT_POLICY)
        assert (clinic_of(events), clinician_of(events)) == (UUID(int=3), UUID(int=4))
        assert (alliance.clinic_id, alliance.clinician_id) == (UUID(int=3), UUID(int=4))
    assert clinic_of([BUILDER.feedback(0)], UUID(int=5)) == UUID(int=5)
    assert clinician_of([BUILDER.feedback(0)]) is None
