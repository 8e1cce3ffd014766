"""One method after the other on the same relationships: tuned where nobody looks, told where it counts."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluation import attune_model, generator, other_methods
from evaluation.measures import Method, begins, detected, peak, threshold, threshold_by_onsets, window
from evaluation.prior import Prior, fit
from evaluation.relationships import Counts, Flags, Numbers, Relationships, together
from evaluation.settings import WHOLE_KINDS, Place, Run

WITHIN = 2  # sessions after the onset: what "found" means where nothing else is said
LATEST = 3

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
PRODUCTS = ("cut-off", "drop since last")
CHARTS = ("Shewhart, own spread", "EWMA, own spread", "CUSUM, own spread")


@dataclass(frozen=True, slots=True)
class Sets:
    """Relationships of one world: some to make thresholds and the prior from, others to report on."""

    tuning: Relationships
    history: Relationships
    """What the prior is made from: nobody has marked the ruptures in it."""
    stable: Relationships
    ruptured: Relationships

    @classmethod
    def of(cls, world: Place, run: Run, count: int) -> "Sets":
        seed = [*world.name.encode(), run.seed]
        tuning_seed, reported_seed = (int(np.random.default_rng([*seed, part]).integers(2**31)) for part in (0, 1))
        tuning = generator.stable(world.tuned, count, run.sessions, tuning_seed)
        ruptured_for_prior = generator.ruptured(
            world.tuned, int(count * run.base_rate / (1 - run.base_rate)), run.sessions, tuning_seed
        )
        return cls(
            tuning,
            together(tuning, ruptured_for_prior),
            generator.stable(world.reported, count, run.sessions, reported_seed),
            generator.ruptured(world.reported, count, run.sessions, reported_seed),
        )


@dataclass(frozen=True, slots=True)
class Found:
    """What one method found in one world."""

    peaks: Numbers
    """The highest that was said of each stable relationship of the tuning set: they make the threshold."""
    level: float
    """The threshold at the budget of alarmed relationships."""
    windows: Numbers
    hits: Flags
    """Which ruptures were found within two sessions."""
    within: tuple[Flags, ...]
    """The same within 0, 1, 2 and 3."""
    by_onsets: Flags
    """Within two sessions, at the budget of false onsets."""
    false_share: float
    """Of unseen stable relationships, ever alarmed."""
    false_onsets: float
    """Per stable session."""
    early_onsets: float
    """False ones per ruptured relationship, before its rupture."""
    all_onsets: float
    """Per session of a ruptured relationship."""
    delay: Numbers
    """Sessions from the onset to the alarm, as long as the rupture lasted; infinite where there was none."""

    def resampled(self, tuned: Counts, told: Counts, kinds: Flags, budget: float) -> float:
        """The share found of other relationships that might have been drawn, the threshold made from others too."""
        return float(detected(self.windows, threshold(self.peaks[tuned], budget))[told][kinds[told]].mean())


def found(method: Method, samples: Sets, prior: Prior, run: Run) -> Found:
    tuning_scores, stable_scores, ruptured_scores = (
        method(sample, prior) for sample in (samples.tuning, samples.stable, samples.ruptured)
    )
    tuning_peaks = peak(tuning_scores)
    level = threshold(tuning_peaks, run.budget)
    onset_threshold = threshold_by_onsets(tuning_scores, run.onset_budget / 100)
    windowed_scores = window(ruptured_scores, samples.ruptured, WITHIN)
    alarms, sessions = begins(ruptured_scores, level), np.arange(run.sessions)
    truth = samples.ruptured.truth
    alarms_in_rupture = alarms & truth.inside
    delay_sessions = np.where(alarms_in_rupture.any(axis=1), alarms_in_rupture.argmax(axis=1) - truth.onset, np.inf)
    is_observed = sessions < truth.last[:, None]
    return Found(
        tuning_peaks,
        level,
        windowed_scores,
        detected(windowed_scores, level),
        tuple(
            detected(window(ruptured_scores, samples.ruptured, delay_limit), level) for delay_limit in range(LATEST + 1)
        ),
        detected(windowed_scores, onset_threshold),
        float((peak(stable_scores) >= level).mean()),
        float(begins(stable_scores, level).mean()),
        float((alarms & (sessions < truth.onset[:, None])).sum(axis=1).mean()),
        float(alarms.sum() / is_observed.sum()),
        delay_sessions,
    )


@dataclass(frozen=True)
class World:
    """What every method found in one world, and the bootstrap of it."""

    place: Place
    sets: Sets
    prior: Prior
    found: dict[str, Found]
    whole: Flags
    """Which ruptures are V, step or slide."""
    boot_whole: dict[str, Numbers] = field(default_factory=dict)
    boot_all: dict[str, Numbers] = field(default_factory=dict)

    def share(self, method: str, whole: bool = True) -> float:
        hits = self.found[method].hits
        return float((hits[self.whole] if whole else hits).mean())


def run_world(world: Place, run: Run, count: int) -> World:
    """Every method on the same relationships, with bootstrap resamples that are the same for all."""
    samples = Sets.of(world, run, count)
    prior = fit(samples.history)
    is_total_visible = np.isin(samples.ruptured.truth.kind, WHOLE_KINDS)
    result = World(
        world,
        samples,
        prior,
        {method_name: found(method, samples, prior, run) for method_name, method in METHODS.items()},
        is_total_visible,
    )
    all_rows = np.ones(count, bool)
    resamples = list(_resamples(count, run))
    for name, method_result in result.found.items():
        result.boot_whole[name] = np.array(
            [
                method_result.resampled(tuning_rows, reported_rows, is_total_visible, run.budget)
                for tuning_rows, reported_rows in resamples
            ]
        )
        result.boot_all[name] = np.array(
            [
                method_result.resampled(tuning_rows, reported_rows, all_rows, run.budget)
                for tuning_rows, reported_rows in resamples
            ]
        )
    return result


def _resamples(count: int, run: Run) -> Iterator[tuple[Counts, Counts]]:
    rng = np.random.default_rng(run.seed)
    for _ in range(run.bootstraps):
        yield rng.integers(0, count, count), rng.integers(0, count, count)


def with_foreign_prior(results: list[World], run: Run) -> dict[str, float]:
    """How much of the ruptures found is lost when each world has to do with the next one's prior."""
    mean_losses = {}
    for name in (TOTAL, ALL):
        method = METHODS[name]
        losses = []
        for index, result in enumerate(results):
            foreign_result = found(method, result.sets, results[(index + 1) % len(results)].prior, run)
            losses.append(result.share(name) - foreign_result.hits[result.whole].mean())
        mean_losses[name] = float(np.mean(losses))
    return mean_losses
