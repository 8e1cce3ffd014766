"""Fitting a clinic's prior to its history."""

from datetime import timedelta

import pytest

from services.alliance.domain.policy.policy import DEFAULT_POLICY, RatingPrior
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.calibration import (
    InsufficientHistory,
    collect_sample,
    fit_prior,
)
from tests.support.builders import RelationshipBuilder


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


@pytest.mark.parametrize("higher", [-0.01, 0.01])
def test_levels_that_hardly_differ_give_a_valid_prior(higher: float) -> None:
    """A line through spreads of hardly different levels is as steep as chance will have it."""
    samples = [
        collect_sample(weekly_feedback([5 + spread, 5 - spread, 5 + spread, 5 - spread + higher * spread]), 24)
        for spread in [1.0, 4.0] * 20
    ]

    fitted = fit_prior(samples, DEFAULT_POLICY.prior).client

    assert fitted.widening == 0
    assert 10 < fitted.at_top < 50


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


def test_a_form_that_lapsed_counts_unless_it_was_answered_and_only_the_clients() -> None:
    builder = RelationshipBuilder()
    late = builder.lapsed(1).model_copy(update={"occurred_at": builder.at(9)})
    by_clinician: list[HistoryEvent] = [
        builder.feedback(0, 7, "clinician"),
        builder.lapsed(3).model_copy(update={"rater": "clinician"}),
    ]
    events: list[HistoryEvent] = [builder.consent_changed(-1, given=True), builder.feedback(1), builder.lapsed(2), late]

    sample = collect_sample([*events, *by_clinician], 24)

    assert sample.lapsed_sessions == {builder.session_id(2)}
    assert sample.asked_sessions == {builder.session_id(1), builder.session_id(2)}
    assert (sample.client_ratings, sample.clinician_ratings) == ([90], [70])


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
