"""Adapting the thresholds to a clinic's history: what is counted, what follows from it, and its bounds."""

from collections import Counter
from math import log
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.alliance.domain.detection.components import log_odds
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.adaptation import (
    MAX_OFFSET,
    OFFSETS,
    Replays,
    adapt_policy,
    alarmed_share,
    appointment_times,
    max_offset,
    share_at,
    span_lengths,
    suggest_offset,
    wanted_share,
    with_offset,
)
from services.alliance.domain.tuning.calibration import InsufficientHistory
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.policies.calibrate import calibrate_policy
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import VersionedState
from shared.access.clinic_id import ClinicId
from tests.support.builders import RelationshipBuilder

CLINIC = UUID(int=1)
SHIPPED = DEFAULT_POLICY.concern


def history(appointments: int = 16, relationship: int = 0, **ratings: float) -> list[HistoryEvent]:
    """One appointment a week; the client rates the first four as usual, and others as given, such as `week_9=3`."""
    builder = RelationshipBuilder(UUID(int=1000 + relationship))
    by_week = {0: 9.0, 1: 8.0, 2: 9.0, 3: 8.0} | {int(week[5:]): rating for week, rating in ratings.items()}
    return [
        builder.started().model_copy(update={"clinic_id": CLINIC}),
        builder.consent_changed(-0.1, given=True),
        *(builder.completed(week) for week in range(appointments)),
        *(builder.feedback(week, rating) for week, rating in by_week.items()),
    ]


def replays_of(*counted: tuple[int, list[HistoryEvent]]) -> Replays:
    """The replays of so many equal histories."""
    replays = Replays(DEFAULT_POLICY, DEFAULT_POLICY.prior)
    for count, events in counted:
        for _ in range(count):
            replays.add(events)
    return replays


@pytest.mark.parametrize(
    ("appointments", "lengths"), [(7, []), (8, [8]), (15, [15]), (16, [16]), (23, [16]), (24, [16, 8]), (33, [16, 16])]
)
def test_a_span_has_sixteen_appointments_and_the_last_at_least_eight(appointments: int, lengths: list[int]) -> None:
    assert list(span_lengths(appointments)) == lengths


def test_an_appointment_counts_once_and_only_where_an_alarm_is_possible() -> None:
    builder = RelationshipBuilder()
    gap = builder.missed(3).model_copy(update={"source_gap": True})
    held_after_all = builder.corrected(builder.completed(2), correction=1, week=5)
    events: list[HistoryEvent] = [
        builder.completed(0),
        builder.consent_changed(0.5, given=True),
        builder.cancelled(1),
        builder.missed(2),
        held_after_all,
        gap,
        builder.completed(4),
        builder.consent_changed(4.5, given=False),
        builder.missed(5),
    ]

    assert appointment_times(events) == [builder.cancelled(1).occurred_at, builder.at(2), builder.at(4)]


def test_the_share_of_full_spans_is_that_of_the_alarmed_ones() -> None:
    assert alarmed_share(Counter({16: 50}), Counter({16: 12})) == pytest.approx(0.24, abs=1e-5)
    assert alarmed_share(Counter({16: 50}), Counter()) == pytest.approx(0.0, abs=1e-5)
    assert alarmed_share(Counter({16: 50}), Counter({16: 50})) == 1.0
    assert alarmed_share(Counter(), Counter()) == 0.0


def test_half_a_span_is_alarmed_as_often_as_half_of_the_hazard_says() -> None:
    """0.36 of sixteen appointments are 0.2 of eight: 1 - 0.64 = 1 - 0.8 * 0.8."""
    assert alarmed_share(Counter({8: 100}), Counter({8: 20})) == pytest.approx(0.36, abs=1e-5)
    assert alarmed_share(Counter({16: 100, 8: 100}), Counter({16: 36, 8: 20})) == pytest.approx(0.36, abs=1e-5)


def test_an_alarm_counts_in_the_span_in_which_it_was_raised_and_the_floor_at_any_threshold() -> None:
    """Two spans, of which the second is alarmed; an alarm in the rest that is left out does not count."""
    replays = replays_of((30, history(39, week_20=3)), (1, history(39, week_35=3)), (1, history(7, week_5=3)))

    adaptation = replays.adapt(0.2)

    assert adaptation.spans == 62
    assert adaptation.alarmed_share == pytest.approx(30 / 62, abs=1e-4)


def test_the_wanted_share_are_false_alarms_and_detected_ruptures() -> None:
    assert wanted_share(0.15, 0.20) == pytest.approx(0.85 * 0.20 + 0.15 * 0.45)


FALLING = (0.5, 0.4, 0.3, 0.25, 0.2)


@pytest.mark.parametrize(
    ("wanted", "offset"),
    [(0.5, -0.5), (0.35, -0.125), (0.3, 0.0), (0.2, 0.5), (0.53, -0.6), (0.14, 0.7), (0.9, -1.0), (0.01, 1.0)],
)
def test_the_offset_is_interpolated_between_the_replays_and_extrapolated_as_far_again(
    wanted: float, offset: float
) -> None:
    assert suggest_offset(FALLING, wanted) == pytest.approx(offset, abs=0.04)


def test_a_share_that_no_threshold_changes_suggests_the_end_of_the_scale_on_its_side() -> None:
    assert suggest_offset([0.5] * 5, 0.4) == 1.0
    assert suggest_offset([0.5] * 5, 0.6) == -1.0
    assert suggest_offset([0.5] * 5, 0.5) == -0.5


SHARES = st.lists(st.floats(0, 1), min_size=5, max_size=5).map(lambda shares: sorted(shares, reverse=True))


@given(shares=SHARES, wanted=st.floats(0.01, 0.99), more=st.floats(0, 0.5))
def test_more_wanted_alarms_never_suggest_a_higher_threshold(shares: list[float], wanted: float, more: float) -> None:
    assert suggest_offset(shares, wanted + more) <= suggest_offset(shares, wanted) + 1e-9


def test_the_share_at_an_offset_is_interpolated() -> None:
    assert [share_at(offset, FALLING) for offset in OFFSETS] == pytest.approx(FALLING)
    assert share_at(0.125, FALLING) == pytest.approx(0.275)


def test_a_threshold_is_at_most_half_a_log_odds_above_the_shipped_one_and_never_above_95_percent() -> None:
    assert max_offset(SHIPPED) == MAX_OFFSET
    assert max_offset(0.94) == pytest.approx(log(0.95 / 0.05) - log(0.94 / 0.06))


@given(
    thresholds=st.lists(st.floats(0.00001, 0.99999), min_size=3, max_size=3).map(sorted),
    offset=st.floats(-MAX_OFFSET, MAX_OFFSET),
)
def test_the_other_thresholds_move_with_concern(thresholds: list[float], offset: float) -> None:
    policy = DEFAULT_POLICY.model_copy(update=dict(zip(("watch", "concern", "urgent"), thresholds, strict=True)))

    moved = with_offset(policy, offset)

    assert 0 < moved.watch <= moved.concern <= moved.urgent < 1
    assert log_odds(moved.concern) - log_odds(SHIPPED) == pytest.approx(offset, abs=0.001)
    assert with_offset(DEFAULT_POLICY, 0.0) == DEFAULT_POLICY


def test_watch_and_urgent_move_by_the_same_log_odds() -> None:
    moved = with_offset(DEFAULT_POLICY, 0.3)

    for name in ("watch", "concern", "urgent"):
        assert log_odds(getattr(moved, name)) - log_odds(getattr(DEFAULT_POLICY, name)) == pytest.approx(0.3, abs=0.002)


def test_a_clinic_with_many_alarms_gets_a_higher_threshold_and_one_with_few_a_lower_one() -> None:
    many = replays_of((35, history(week_10=3)), (35, history())).adapt(0.2)
    few = replays_of((15, history(week_10=3)), (55, history())).adapt(0.2)

    assert few.policy.concern < SHIPPED < many.policy.concern
    assert many.suggested_threshold == many.policy.concern
    assert (few.is_bounded, many.is_bounded) == (False, False)


def test_a_history_is_replayed_at_each_threshold() -> None:
    """One low rating that raises an alarm up to a threshold of some 0.1 to 0.2, and not above it."""
    sensitive = with_offset(DEFAULT_POLICY, -MAX_OFFSET)
    ratings = [7 - step / 10 for step in range(20)]
    peaks = [
        max((e.peak_probability for e in replay_episodes(history(week_8=r), sensitive)), default=0) for r in ratings
    ]
    rating = min(ratings, key=lambda rating: abs(log_odds(peaks[ratings.index(rating)]) - log_odds(SHIPPED)))

    suggested = replays_of((80, history(week_8=rating))).adapt(0.2).suggested_threshold

    assert suggested is not None
    unshrunk = 2 * (log_odds(suggested) - log_odds(SHIPPED))  # 80 spans: half of the suggestion counts
    assert -0.25 < unshrunk < 0.25
    assert unshrunk != pytest.approx(0.0, abs=0.01)


def test_a_short_history_counts_less_than_a_long_one() -> None:
    """The shipped threshold is worth 80 spans: with 64 of them four ninths of the suggestion count."""
    adaptation = replays_of((64, history())).adapt(0.2)

    assert log_odds(adaptation.policy.concern) - log_odds(SHIPPED) == pytest.approx(-1.0 * 4 / 9, abs=0.005)


@pytest.mark.parametrize(("events", "offset"), [(history(week_10=3), MAX_OFFSET), (history(), -MAX_OFFSET)])
def test_a_clinic_is_not_taught_to_hear_less_than_the_bound(events: list[HistoryEvent], offset: float) -> None:
    """A history of 100 spans in which everybody is alarmed, or nobody."""
    adaptation = replays_of((100, events)).adapt(0.2)

    assert adaptation.is_bounded
    assert adaptation.policy == with_offset(DEFAULT_POLICY, offset)
    assert adaptation.suggested_threshold is not None
    assert abs(log_odds(adaptation.suggested_threshold) - log_odds(SHIPPED)) > MAX_OFFSET


def test_with_fewer_than_sixty_spans_the_threshold_stays_as_shipped() -> None:
    """Also if the clinic had another one before; seven full spans and 105 of a half are 59.5."""
    few = ((7, history(16)), (105, history(8)))
    own = Replays(with_offset(DEFAULT_POLICY, 0.4), DEFAULT_POLICY.prior)
    for count, events in few:
        for _ in range(count):
            own.add(events)

    adaptation = own.adapt(0.2)

    assert (adaptation.policy.concern, adaptation.spans) == (DEFAULT_POLICY.concern, 59.5)
    assert adaptation.policy.urgent == pytest.approx(DEFAULT_POLICY.urgent, abs=2e-4)  # files have four digits
    assert (adaptation.suggested_threshold, adaptation.is_bounded) == (None, False)
    assert replays_of(*few, (1, history(8))).adapt(0.2).suggested_threshold is not None


def clinic_history(count: int) -> list[list[HistoryEvent]]:
    return [history(relationship=relationship, week_8=8 - relationship % 4) for relationship in range(count)]


def test_a_higher_target_gives_a_lower_threshold() -> None:
    histories = clinic_history(64)

    low, high = adapt_policy(histories, DEFAULT_POLICY, 0.1), adapt_policy(histories, DEFAULT_POLICY, 0.7)

    assert low.policy.concern > high.policy.concern
    assert low.policy.prior == high.policy.prior
    assert low.policy.prior.version == DEFAULT_POLICY.prior.version + 1


def test_too_few_relationships_to_fit_a_prior_are_rejected() -> None:
    with pytest.raises(InsufficientHistory, match="29 relationships"):
        adapt_policy(clinic_history(29), DEFAULT_POLICY)


async def test_a_history_read_page_by_page_gives_the_same_policy() -> None:
    store, histories = InMemoryStore(), clinic_history(64)
    for events in histories:
        await store.append(events)
        relationship = VersionedState(events[0].relationship_id).advance(refold(events, DEFAULT_POLICY))
        await store.save([relationship])

    calibrated = await calibrate_policy(store, DEFAULT_POLICY, ClinicId(CLINIC), 0.2, lambda *_: None)

    assert calibrated == adapt_policy(histories, DEFAULT_POLICY)
