"""Evaluates every method on the same relationships, with thresholds and priors made from other relationships."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluation import attune_model, generator, other_methods
from evaluation.measures import (
    Method,
    alarm_onsets,
    is_detected,
    peak_scores,
    threshold_for_budget,
    threshold_for_onset_rate,
    window_scores,
)
from evaluation.prior import Prior, fit_prior
from evaluation.relationships import BoolArray, FloatArray, IntArray, Relationships, concatenate
from evaluation.settings import TOTAL_VISIBLE_KINDS, RunSettings, SimulatedWorld

DETECTION_LIMIT_SESSIONS = 2  # after the onset: what "found" means unless stated otherwise
MAX_DELAY_SESSIONS = 3

METHODS: Mapping[str, Method] = {
    "oracle": other_methods.oracle,
    "cut-off": other_methods.below_cut_off,
    "drop since last": other_methods.drop_since_last,
    "Shewhart, own spread": other_methods.shewhart,
    "EWMA, own spread": other_methods.ewma_chart,
    "CUSUM, own spread": other_methods.cusum_chart,
    "sudden loss": other_methods.sudden_loss,
    "Page-Hinkley": other_methods.page_hinkley,
    "ADWIN": other_methods.adwin,
    "change point": other_methods.change_point,
    "own mean in points": other_methods.own_mean_in_points,
    "ours, total alone": attune_model.TOTAL,
    "ours, all signals": attune_model.ALL,
    "ours, with the question": attune_model.DIRECT,
}
ORACLE, OWN_MEAN = "oracle", "own mean in points"
TOTAL, ALL, DIRECT = "ours, total alone", "ours, all signals", "ours, with the question"
PRODUCT_METHODS = ("cut-off", "drop since last")
CHART_METHODS = ("Shewhart, own spread", "EWMA, own spread", "CUSUM, own spread")


@dataclass(frozen=True, slots=True)
class Samples:
    """Relationships of one world: some for thresholds and the prior, others to report on."""

    stable_for_tuning: Relationships
    for_prior: Relationships
    """The history that the prior is fitted to; its ruptures are not marked."""
    stable: Relationships
    ruptured: Relationships

    @classmethod
    def generate(cls, world: SimulatedWorld, run: RunSettings, count: int) -> "Samples":
        seed = [*world.name.encode(), run.seed]
        tuning_seed, reported_seed = (int(np.random.default_rng([*seed, part]).integers(2**31)) for part in (0, 1))
        tuning = generator.generate_stable(world.tuned, count, run.sessions, tuning_seed)
        ruptured_for_prior = generator.generate_ruptured(
            world.tuned, int(count * run.rupture_base_rate / (1 - run.rupture_base_rate)), run.sessions, tuning_seed
        )
        return cls(
            tuning,
            concatenate(tuning, ruptured_for_prior),
            generator.generate_stable(world.reported, count, run.sessions, reported_seed),
            generator.generate_ruptured(world.reported, count, run.sessions, reported_seed),
        )


@dataclass(frozen=True, slots=True)
class MethodResult:
    """The results of one method in one world."""

    tuning_peaks: FloatArray
    """The highest score of each stable relationship of the tuning set, from which the threshold is made."""
    threshold: float
    """The threshold at the budget of relationships with a false alarm."""
    windowed_scores: FloatArray
    detected: BoolArray
    """The ruptures found within two sessions."""
    detected_within: tuple[BoolArray, ...]
    """The ruptures found within 0, 1, 2 and 3 sessions."""
    detected_at_onset_budget: BoolArray
    """The ruptures found within two sessions, at the budget of false onsets."""
    false_alarm_share: float
    """The share of unseen stable relationships that ever have an alarm."""
    false_onsets_per_session: float
    """False alarms that begin, per session of a stable relationship."""
    early_onsets_per_relationship: float
    """False alarms that begin before the rupture, per ruptured relationship."""
    onsets_per_session: float
    """All alarms that begin, per session of a ruptured relationship."""
    delay_sessions: FloatArray
    """Sessions from the onset to the first alarm in the rupture; infinite where there was none."""

    def resample_share(
        self, tuning_rows: IntArray, reported_rows: IntArray, is_counted: BoolArray, budget: float
    ) -> float:
        """The share found in one bootstrap resample, with the threshold made from resampled tuning relationships."""
        return float(
            is_detected(self.windowed_scores, threshold_for_budget(self.tuning_peaks[tuning_rows], budget))[
                reported_rows
            ][is_counted[reported_rows]].mean()
        )


def evaluate_method(method: Method, samples: Samples, prior: Prior, run: RunSettings) -> MethodResult:
    tuning_scores, stable_scores, ruptured_scores = (
        method(sample, prior) for sample in (samples.stable_for_tuning, samples.stable, samples.ruptured)
    )
    tuning_peaks = peak_scores(tuning_scores)
    threshold = threshold_for_budget(tuning_peaks, run.false_alarm_budget)
    onset_threshold = threshold_for_onset_rate(tuning_scores, run.false_onset_budget_percent / 100)
    windowed_scores = window_scores(ruptured_scores, samples.ruptured, DETECTION_LIMIT_SESSIONS)
    alarms, sessions = alarm_onsets(ruptured_scores, threshold), np.arange(run.sessions)
    truth = samples.ruptured.truth
    alarms_in_rupture = alarms & truth.in_rupture
    delay_sessions = np.where(
        alarms_in_rupture.any(axis=1), alarms_in_rupture.argmax(axis=1) - truth.onset_session, np.inf
    )
    is_observed = sessions < truth.appointment_count[:, None]
    return MethodResult(
        tuning_peaks,
        threshold,
        windowed_scores,
        is_detected(windowed_scores, threshold),
        tuple(
            is_detected(window_scores(ruptured_scores, samples.ruptured, delay_limit), threshold)
            for delay_limit in range(MAX_DELAY_SESSIONS + 1)
        ),
        is_detected(windowed_scores, onset_threshold),
        float((peak_scores(stable_scores) >= threshold).mean()),
        float(alarm_onsets(stable_scores, threshold).mean()),
        float((alarms & (sessions < truth.onset_session[:, None])).sum(axis=1).mean()),
        float(alarms.sum() / is_observed.sum()),
        delay_sessions,
    )


@dataclass(frozen=True)
class WorldResult:
    """The results of every method in one world, with their bootstrap."""

    world: SimulatedWorld
    samples: Samples
    prior: Prior
    methods: dict[str, MethodResult]
    is_total_visible: BoolArray
    """The ruptures that are V, step or slide."""
    bootstrap_total_visible: dict[str, FloatArray] = field(default_factory=dict)
    bootstrap_all: dict[str, FloatArray] = field(default_factory=dict)

    def detected_share(self, method: str, only_total_visible: bool = True) -> float:
        detected = self.methods[method].detected
        return float((detected[self.is_total_visible] if only_total_visible else detected).mean())


def run_world(world: SimulatedWorld, run: RunSettings, count: int) -> WorldResult:
    """Evaluate every method on the same relationships and the same bootstrap resamples."""
    samples = Samples.generate(world, run, count)
    prior = fit_prior(samples.for_prior)
    is_total_visible = np.isin(samples.ruptured.truth.kind, TOTAL_VISIBLE_KINDS)
    result = WorldResult(
        world,
        samples,
        prior,
        {method_name: evaluate_method(method, samples, prior, run) for method_name, method in METHODS.items()},
        is_total_visible,
    )
    all_rows = np.ones(count, bool)
    resamples = list(_resamples(count, run))
    for name, method_result in result.methods.items():
        result.bootstrap_total_visible[name] = np.array(
            [
                method_result.resample_share(tuning_rows, reported_rows, is_total_visible, run.false_alarm_budget)
                for tuning_rows, reported_rows in resamples
            ]
        )
        result.bootstrap_all[name] = np.array(
            [
                method_result.resample_share(tuning_rows, reported_rows, all_rows, run.false_alarm_budget)
                for tuning_rows, reported_rows in resamples
            ]
        )
    return result


def _resamples(count: int, run: RunSettings) -> Iterator[tuple[IntArray, IntArray]]:
    rng = np.random.default_rng(run.seed)
    for _ in range(run.bootstrap_resamples):
        yield rng.integers(0, count, count), rng.integers(0, count, count)


def foreign_prior_losses(results: list[WorldResult], run: RunSettings) -> dict[str, float]:
    """The share of ruptures that each method no longer finds if each world uses the next world's prior, on average."""
    mean_losses = {}
    for name in (TOTAL, ALL):
        method = METHODS[name]
        losses = []
        for index, result in enumerate(results):
            foreign_result = evaluate_method(method, result.samples, results[(index + 1) % len(results)].prior, run)
            losses.append(result.detected_share(name) - foreign_result.detected[result.is_total_visible].mean())
        mean_losses[name] = float(np.mean(losses))
    return mean_losses
