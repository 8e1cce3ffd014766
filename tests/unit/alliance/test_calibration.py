"""Fitting a clinic's prior to its history, and suggesting its thresholds."""

from dataclasses import asdict
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import prior as twin
from evaluation.events import events_of
from evaluation.generator import generate_ruptured
from evaluation.settings import load_settings
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, RatingPrior
from services.alliance.domain.state.history import HistoryEvent, clinic_of
from services.alliance.domain.tuning.calibration import (
    InsufficientHistory,
    collect_sample,
    fit_prior,
    suggest_concern_threshold,
    suggest_urgent_threshold,
)
from services.alliance.policies.calibrate import Calibration, calibrate_policy
from services.alliance.store.memory import InMemoryStore
from services.alliance.store.protocol import VersionedState
from tests.support.builders import RelationshipBuilder

WORLD = next(place for place in load_settings().worlds if place.name == "ordinal").reported
HISTORY = generate_ruptured(WORLD, 120, 16, seed=4)


def test_the_fitted_prior_equals_that_of_the_evaluation() -> None:
    samples = [collect_sample(events_of(HISTORY.observations, row), 24) for row in range(len(HISTORY))]

    fitted, expected = fit_prior(samples, DEFAULT_POLICY.prior), twin.fit_prior(HISTORY)

    assert fitted.version == DEFAULT_POLICY.prior.version + 1
    for part, figures in asdict(expected).items():
        assert getattr(fitted, part).model_dump() == pytest.approx(figures, abs=1e-4), part


def weekly_feedback(week_ratings: list[float], rater: str = "client") -> list[HistoryEvent]:
    builder = RelationshipBuilder()
    events: list[HistoryEvent] = [builder.started(), builder.consent_changed(-0.5, given=True)]
    for week, rating in enumerate(week_ratings):
        events += [builder.completed(week), builder.feedback(week, rating, rater)]  # type: ignore[arg-type]
    return events


def test_nothing_is_learnt_from_appointments_without_consent() -> None:
    builder = RelationshipBuilder()
    withdrawn = builder.consent_changed(1.5, given=False)
    after_withdrawal: list[HistoryEvent] = [withdrawn, builder.completed(2), builder.missed(3), builder.cancelled(4)]

    sample = collect_sample([*weekly_feedback([9, 8]), *after_withdrawal], late_hours=24)

    assert (len(sample.appointments), sample.missed_appointments) == (2, set())


def test_nothing_is_learnt_from_a_source_gap() -> None:
    builder = RelationshipBuilder()
    gap = {"source_gap": True}
    during_gap: list[HistoryEvent] = [builder.missed(2), builder.cancelled(3), builder.completed(4), builder.lapsed(4)]

    sample = collect_sample(
        [*weekly_feedback([9, 8]), *(event.model_copy(update=gap) for event in during_gap)], late_hours=24
    )

    assert (len(sample.appointments), sample.missed_appointments) == (3, set())
    assert (len(sample.asked_sessions), sample.lapsed_sessions) == (2, set())


def test_too_few_relationships_are_rejected() -> None:
    few = [collect_sample(weekly_feedback([9, 8, 9, 8]), 24) for _ in range(29)]

    with pytest.raises(
        InsufficientHistory, match="29 relationships have at least 4 client ratings; fitting a prior needs 30"
    ):
        fit_prior(few, DEFAULT_POLICY.prior)
    with pytest.raises(InsufficientHistory, match=r"^0 relationships"):
        fit_prior([], DEFAULT_POLICY.prior)


def test_ratings_that_never_vary_are_rejected() -> None:
    with pytest.raises(InsufficientHistory, match="never vary"):
        fit_prior([collect_sample(weekly_feedback([10, 10, 10, 10]), 24) for _ in range(40)], DEFAULT_POLICY.prior)


def test_a_part_of_the_prior_without_data_stays_unchanged() -> None:
    fitted = fit_prior(
        [collect_sample(weekly_feedback([9, 8, 9, 8 - index % 3]), 24) for index in range(40)], DEFAULT_POLICY.prior
    )

    assert fitted.clinician == DEFAULT_POLICY.prior.clinician
    assert fitted.client != DEFAULT_POLICY.prior.client


def test_identical_relationships_still_give_a_valid_prior() -> None:
    fitted = fit_prior([collect_sample(weekly_feedback([9, 8, 9, 8]), 24) for _ in range(40)], DEFAULT_POLICY.prior)

    assert fitted.client == RatingPrior(mean=85.0, varies=1.0, spread=5.7735, at_top=5.7735, widening=0.0)


def test_ratings_that_hardly_vary_give_the_smallest_spread() -> None:
    """A tenth of a point; otherwise every rating would be a surprise."""
    samples = [collect_sample(weekly_feedback([9, 9, 9, 9.05 if index == 0 else 9]), 24) for index in range(40)]

    assert fit_prior(samples, DEFAULT_POLICY.prior).client.spread == 0.1


def test_a_prior_has_no_negative_zero() -> None:
    """The differences of the elements from each other add up to 0, which rounding may make slightly less."""
    builder = RelationshipBuilder()
    answers = [builder.feedback(week, 9, trust=9 - week % 2) for week in range(4)]
    sample = collect_sample([builder.consent_changed(-1, given=True), *answers], 24)

    assert str(fit_prior([sample] * 30, DEFAULT_POLICY.prior).element.mean) == "0.0"


def test_answers_without_consent_are_not_used() -> None:
    builder = RelationshipBuilder()
    events: list[HistoryEvent] = [
        builder.started(),
        builder.completed(0),
        builder.feedback(0),
        builder.consent_changed(0.5, given=True),
        builder.feedback(1),
    ]
    events += [builder.consent_changed(1.5, given=False), builder.feedback(2), builder.lapsed(3)]

    sample = collect_sample(events, 24)

    assert (sample.client_ratings, sample.lapsed_sessions) == ([90.0], set())


def test_an_answer_counts_once_as_amended() -> None:
    builder = RelationshipBuilder()
    duplicate = builder.feedback(0, 3).model_copy(
        update={"id": builder.relationship_id, "occurred_at": builder.at(0) + timedelta(days=1)}
    )
    events: list[HistoryEvent] = [
        builder.consent_changed(-1, given=True),
        builder.feedback(0, 9),
        builder.amended(0, 7),
        duplicate,
    ]

    assert collect_sample(events, 24).client_ratings == [70.0]


def test_an_answer_without_a_rating_counts_as_an_answer_only() -> None:
    builder = RelationshipBuilder()
    unknown = [builder.instrument_total(0, "unheard-of", 1), builder.instrument_total(1, "unheard-of", 1)]
    by_clinician = unknown[1].model_copy(update={"rater": "clinician"})

    sample = collect_sample([builder.consent_changed(-1, given=True), unknown[0], by_clinician], 24)

    assert (len(sample.asked_sessions), sample.client_ratings, sample.clinician_ratings) == (1, [], [])


def test_an_answer_about_some_elements_only_says_nothing_about_how_they_differ() -> None:
    builder = RelationshipBuilder()
    partial = builder.feedback(0).model_copy(update={"ratings": {"trust": 9.0, "respect": 8.0}})

    sample = collect_sample([builder.consent_changed(-1, given=True), partial, builder.feedback(1, trust=5)], 24)

    assert sample.client_ratings == [85, 85]
    assert sample.form_ratings == [85]
    assert [max(form) - min(form) for form in sample.relative_ratings] == [pytest.approx(40 + 40 / 7)]


def test_how_often_something_is_missed_stays_unchanged_with_too_few_appointments() -> None:
    """Only 29 of the relationships have as many as four appointments."""
    builder = RelationshipBuilder()
    sparse = [builder.consent_changed(-1, given=True), *(builder.feedback(week, 9 - week % 2) for week in range(4))]
    samples = [collect_sample(weekly_feedback([9, 8, 9, 8]), 24) for _ in range(29)]

    fitted = fit_prior([*samples, collect_sample(sparse, 24)], DEFAULT_POLICY.prior)
    enough = fit_prior([*samples, *samples[:1]], DEFAULT_POLICY.prior)

    assert fitted.absence == DEFAULT_POLICY.prior.absence
    assert enough.absence != DEFAULT_POLICY.prior.absence


def test_a_late_cancellation_counts_as_missed_and_one_in_time_does_not() -> None:
    builder = RelationshipBuilder()
    appointments: list[HistoryEvent] = [
        builder.completed(0),
        builder.missed(1),
        builder.cancelled(2, 3),
        builder.cancelled(3, 48),
    ]
    sample = collect_sample([builder.consent_changed(-0.5, given=True), *appointments], 24)

    assert (len(sample.missed_appointments), len(sample.appointments)) == (2, 3)


async def calibrate(alerts_per_week: float) -> Calibration:
    """A calibration to a short history of forty relationships of one clinician."""
    short = generate_ruptured(WORLD, 40, 8, seed=4)
    store = InMemoryStore()
    for row in range(len(short)):
        events = events_of(short.observations, row)
        await store.append(events)
        relationship = VersionedState(events[0].relationship_id).advance(refold(events, DEFAULT_POLICY))
        await store.save([relationship])
    clinic = clinic_of(store.events.values())
    assert clinic is not None
    return await calibrate_policy(store, DEFAULT_POLICY, clinic, alerts_per_week, lambda *_: None)


async def test_a_calibrated_policy_reaches_its_target_and_a_quarter_of_it_may_be_urgent() -> None:
    calibration = await calibrate(2)

    assert (calibration.weeks, calibration.relationships, calibration.is_target_reached) == (8, 40, True)
    assert calibration.alerts == pytest.approx(2 * 8, abs=2)
    assert calibration.urgent_alerts == 2 * 8 / 4


async def test_a_target_beyond_the_thresholds_that_are_tried_gives_the_nearest_of_them() -> None:
    calibration = await calibrate(50)

    assert (calibration.policy.concern, calibration.is_target_reached) == (0.06, False)


async def test_a_target_of_fewer_than_five_alerts_is_rejected() -> None:
    with pytest.raises(InsufficientHistory, match=r"4\.8 alerts in 8 recorded weeks; a threshold needs at least 5"):
        await calibrate(0.6)


ALERT_COUNTS = st.dictionaries(st.floats(0.06, 0.99), st.integers(0, 500), min_size=1, max_size=12)


@given(alerts=ALERT_COUNTS, target_alerts=st.floats(0.1, 600), extra_alerts=st.floats(0, 100))
def test_a_higher_target_gives_no_higher_threshold(
    alerts: dict[float, int], target_alerts: float, extra_alerts: float
) -> None:
    assert (
        suggest_concern_threshold(alerts, target_alerts + extra_alerts).threshold
        <= suggest_concern_threshold(alerts, target_alerts).threshold
    )


@given(alerts=ALERT_COUNTS, target_alerts=st.floats(0.1, 600))
def test_a_suggested_threshold_is_within_the_range_that_was_tried(
    alerts: dict[float, int], target_alerts: float
) -> None:
    assert min(alerts) <= suggest_concern_threshold(alerts, target_alerts).threshold <= max(alerts)


@given(peaks=st.lists(st.floats(0.5, 0.9998), max_size=30), target_alerts=st.floats(0, 40))
def test_no_more_alerts_are_urgent_than_the_target(peaks: list[float], target_alerts: float) -> None:
    threshold = suggest_urgent_threshold(peaks, target_alerts, concern=0.5)

    assert 0.5 <= threshold < 1
    assert sum(peak >= threshold for peak in peaks) <= target_alerts


def test_the_urgent_threshold_lies_just_above_the_first_peak_that_is_too_many() -> None:
    peaks = [0.95, 0.7, 0.9, 0.6]

    assert suggest_urgent_threshold(peaks, 2, concern=0.5) == 0.7001
    assert suggest_urgent_threshold(peaks, 2.9, concern=0.5) == 0.7001
    assert suggest_urgent_threshold(peaks, 2, concern=0.8) == 0.8
    assert suggest_urgent_threshold(peaks, 4, concern=0.5) == 0.5
    assert suggest_urgent_threshold([0.99999], 0, concern=0.5) == 0.9999


def test_a_threshold_is_interpolated_between_those_that_were_tried() -> None:
    suggestion = suggest_concern_threshold({0.2: 100, 0.5: 40, 0.8: 20}, 30)

    assert suggestion.is_reached
    assert suggestion.threshold == pytest.approx(2 / 3, abs=1e-3)  # half-way in log-odds


@pytest.mark.parametrize(("target_alerts", "threshold"), [(200, 0.2), (10, 0.8)])
def test_a_target_that_no_threshold_reaches_is_reported(target_alerts: float, threshold: float) -> None:
    suggestion = suggest_concern_threshold({0.2: 100, 0.5: 40, 0.8: 20}, target_alerts)

    assert (suggestion.threshold, suggestion.is_reached) == (threshold, False)
