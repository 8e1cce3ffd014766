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
    def of(cls, place: Place, run: Run, count: int) -> "Sets":
        seed = [*place.name.encode(), run.seed]
        tuning_seed, told_seed = (int(np.random.default_rng([*seed, part]).integers(2**31)) for part in (0, 1))
        tuning = generator.stable(place.tuned, count, run.sessions, tuning_seed)
        few = generator.ruptured(
            place.tuned, int(count * run.base_rate / (1 - run.base_rate)), run.sessions, tuning_seed
        )
        return cls(
            tuning,
            together(tuning, few),
            generator.stable(place.reported, count, run.sessions, told_seed),
            generator.ruptured(place.reported, count, run.sessions, told_seed),
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


def found(method: Method, sets: Sets, prior: Prior, run: Run) -> Found:
    tuning, stable, ruptured = (method(s, prior) for s in (sets.tuning, sets.stable, sets.ruptured))
    peaks = peak(tuning)
    level = threshold(peaks, run.budget)
    by_onsets = threshold_by_onsets(tuning, run.onset_budget / 100)
    windows = window(ruptured, sets.ruptured, WITHIN)
    alarms, when = begins(ruptured, level), np.arange(run.sessions)
    truth = sets.ruptured.truth
    during = alarms & truth.inside
    delay = np.where(during.any(axis=1), during.argmax(axis=1) - truth.onset, np.inf)
    followed = when < truth.last[:, None]
    return Found(
        peaks,
        level,
        windows,
        detected(windows, level),
        tuple(detected(window(ruptured, sets.ruptured, k), level) for k in range(LATEST + 1)),
        detected(windows, by_onsets),
        float((peak(stable) >= level).mean()),
        float(begins(stable, level).mean()),
        float((alarms & (when < truth.onset[:, None])).sum(axis=1).mean()),
        float(alarms.sum() / followed.sum()),
        delay,
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


def run_world(place: Place, run: Run, count: int) -> World:
    """Every method on the same relationships, with bootstrap resamples that are the same for all."""
    sets = Sets.of(place, run, count)
    prior = fit(sets.history)
    whole = np.isin(sets.ruptured.truth.kind, WHOLE_KINDS)
    world = World(place, sets, prior, {n: found(m, sets, prior, run) for n, m in METHODS.items()}, whole)
    everything = np.ones(count, bool)
    draws = list(_resamples(count, run))
    for name, each in world.found.items():
        world.boot_whole[name] = np.array([each.resampled(a, b, whole, run.budget) for a, b in draws])
        world.boot_all[name] = np.array([each.resampled(a, b, everything, run.budget) for a, b in draws])
    return world


def _resamples(count: int, run: Run) -> Iterator[tuple[Counts, Counts]]:
    draw = np.random.default_rng(run.seed)
    for _ in range(run.bootstraps):
        yield draw.integers(0, count, count), draw.integers(0, count, count)


def with_foreign_prior(worlds: list[World], run: Run) -> dict[str, float]:
    """How much of the ruptures found is lost when each world has to do with the next one's prior."""
    lost = {}
    for name in (TOTAL, ALL):
        method = METHODS[name]
        losses = []
        for place, world in enumerate(worlds):
            foreign = found(method, world.sets, worlds[(place + 1) % len(worlds)].prior, run)
            losses.append(world.share(name) - foreign.hits[world.whole].mean())
        lost[name] = float(np.mean(losses))
    return lost
