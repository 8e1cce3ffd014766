"""What is fitted to a clinic's history, and which thresholds are suggested."""

from dataclasses import asdict
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation import prior as twin
from evaluation.events import facts_of
from evaluation.generator import ruptured
from evaluation.settings import load
from services.alliance.domain.policy.policy import DEFAULT, Usual
from services.alliance.domain.state.history import Fact
from services.alliance.domain.tuning.calibration import TooLittle, course, fit, suggest, urgent_from
from tests.support.builders import Told

HISTORY = ruptured(next(place for place in load().places if place.name == "ordinal").reported, 120, 16, seed=4)


def test_the_fit_is_the_one_that_the_evaluation_proves() -> None:
    samples = [course(facts_of(HISTORY.seen, row), 24) for row in range(len(HISTORY))]

    fitted, expected = fit(samples, DEFAULT.prior), twin.fit(HISTORY)

    assert fitted.version == DEFAULT.prior.version + 1
    for part, figures in asdict(expected).items():
        assert getattr(fitted, part).model_dump() == pytest.approx(figures, abs=1e-4), part


def steady(week_ratings: list[float], rater: str = "client") -> list[Fact]:
    builder = Told()
    events: list[Fact] = [builder.started(), builder.consent(-0.5, given=True)]
    for week, rating in enumerate(week_ratings):
        events += [builder.held(week), builder.felt(week, rating, rater)]  # type: ignore[arg-type]
    return events


def test_too_few_relationships_fit_nothing() -> None:
    few = [course(steady([9, 8, 9, 8]), 24) for _ in range(29)]

    with pytest.raises(TooLittle, match="29 relationships have 4 ratings by the client or more, and it takes 30"):
        fit(few, DEFAULT.prior)
    with pytest.raises(TooLittle, match=r"^0 relationships"):
        fit([], DEFAULT.prior)


def test_ratings_that_never_vary_fit_nothing() -> None:
    with pytest.raises(TooLittle, match="never vary"):
        fit([course(steady([10, 10, 10, 10]), 24) for _ in range(40)], DEFAULT.prior)


def test_what_the_history_says_nothing_of_stays_as_it_was() -> None:
    fitted = fit([course(steady([9, 8, 9, 8 - index % 3]), 24) for index in range(40)], DEFAULT.prior)

    assert fitted.clinician == DEFAULT.prior.clinician
    assert fitted.client != DEFAULT.prior.client


def test_relationships_that_are_all_alike_still_give_a_policy_that_can_be_used() -> None:
    fitted = fit([course(steady([9, 8, 9, 8]), 24) for _ in range(40)], DEFAULT.prior)

    assert fitted.client == Usual(mean=85.0, varies=1.0, spread=5.7735, at_top=5.7735, widening=0.0)


def test_nothing_is_learned_from_what_was_said_without_consent() -> None:
    builder = Told()
    events: list[Fact] = [
        builder.started(),
        builder.held(0),
        builder.felt(0),
        builder.consent(0.5, given=True),
        builder.felt(1),
    ]
    events += [builder.consent(1.5, given=False), builder.felt(2), builder.lapsed(3)]

    sample = course(events, 24)

    assert (sample.client, sample.silent) == ([90.0], set())


def test_an_answer_counts_once_and_as_it_was_amended() -> None:
    builder = Told()
    duplicate = builder.felt(0, 3).model_copy(
        update={"id": builder.relationship, "occurred_at": builder.at(0) + timedelta(days=1)}
    )
    events: list[Fact] = [builder.consent(-1, given=True), builder.felt(0, 9), builder.amended(0, 7), duplicate]

    assert course(events, 24).client == [70.0]


def test_who_cancels_late_stays_away_and_who_cancels_in_time_does_not() -> None:
    builder = Told()
    sample = course([builder.held(0), builder.missed(1), builder.cancelled(2, 3), builder.cancelled(3, 48)], 24)

    assert (len(sample.away), len(sample.appointments)) == (2, 3)


CURVES = st.dictionaries(st.floats(0.06, 0.99), st.integers(0, 500), min_size=1, max_size=12)


@given(alerts=CURVES, wished=st.floats(0.1, 600), more=st.floats(0, 100))
def test_who_wishes_for_more_alerts_gets_no_higher_threshold(
    alerts: dict[float, int], wished: float, more: float
) -> None:
    assert suggest(alerts, wished + more).threshold <= suggest(alerts, wished).threshold


@given(alerts=CURVES, wished=st.floats(0.1, 600))
def test_a_threshold_lies_within_what_was_tried(alerts: dict[float, int], wished: float) -> None:
    assert min(alerts) <= suggest(alerts, wished).threshold <= max(alerts)


@given(peaks=st.lists(st.floats(0.5, 0.9998), max_size=30), wished=st.floats(0, 40))
def test_no_more_are_urgent_than_wished(peaks: list[float], wished: float) -> None:
    threshold = urgent_from(peaks, wished, concern=0.5)

    assert 0.5 <= threshold < 1
    assert sum(peak >= threshold for peak in peaks) <= wished


def test_between_what_was_tried_it_is_interpolated() -> None:
    suggestion = suggest({0.2: 100, 0.5: 40, 0.8: 20}, 30)

    assert suggestion.reached
    assert suggestion.threshold == pytest.approx(2 / 3, abs=1e-3)  # half-way between even odds and four to one


@pytest.mark.parametrize(("wished", "threshold"), [(200, 0.2), (10, 0.8)])
def test_what_no_threshold_reaches_is_said(wished: float, threshold: float) -> None:
    suggestion = suggest({0.2: 100, 0.5: 40, 0.8: 20}, wished)

    assert (suggestion.threshold, suggestion.reached) == (threshold, False)
