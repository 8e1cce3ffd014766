"""The standard trial: every method on the same relationships of a world, with thresholds from other relationships."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluation.attune import SHIPPED_BASE_RATE, Folded, fold_all, policy_at
from evaluation.measures import (
    Estimate,
    Method,
    Resamples,
    happens_in_window,
    is_detected,
    peak_scores,
    thresholds_for_budget,
    window_scores,
)
from evaluation.methods import METHODS
from evaluation.oracle_views import view_all
from evaluation.oracles import (
    ORACLE,
    ORACLE_OF_CLIENT,
    ORACLE_OF_CLIENT_WITH_BEHAVIOUR,
    ORACLE_OF_PERSON,
    ORACLE_WITH_BEHAVIOUR,
    oracle_of_everything,
    oracle_of_person,
)
from evaluation.previous_model import previous_model
from evaluation.settings import ASKINGS, UNASKED, RunSettings
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.question import ask
from evaluation.simulation.settings import (
    TOTAL_VISIBLE_KINDS,
    QuestionLaw,
    QuestionSettings,
    SimulatedWorld,
    WorldSettings,
)
from evaluation.simulation.truth import BoolArray, FloatArray, Relationships

DETECTION_LIMIT_SESSIONS = 2  # after the onset: what "found" means
OTHER_BASE_RATE = 0.25  # Larsson 2018: a quarter of relationships
BASE_RATES = (SHIPPED_BASE_RATE, OTHER_BASE_RATE)
PREVIOUS, ATTUNE = "previous model", "Attune"


def asked(name: str, asking: str) -> str:
    """The name of a method in a clinic that asks the direct question, or does not."""
    return name if asking == UNASKED else f"{name}, asked: {asking}"


@dataclass(frozen=True, slots=True)
class Samples:
    """Relationships of one world: some for thresholds, others to report on."""

    tuning: Relationships
    """Stable relationships of the world's other settings."""
    stable: Relationships
    ruptured: Relationships

    @classmethod
    def generate(cls, world: SimulatedWorld, count: int, seed: int) -> "Samples":
        own = [*world.name.encode(), seed]
        tuning, reported = (int(np.random.default_rng([*own, part]).integers(2**31)) for part in (0, 1))
        return cls(
            generate_stable(world.tuned, count, tuning),
            generate_stable(world.reported, count, reported),
            generate_ruptured(world.reported, count, reported),
        )

    def asked(self, question: Mapping[QuestionLaw, QuestionSettings], asking: str, seed: int) -> "Samples":
        """The same relationships, with the question answered under a law."""
        if asking == UNASKED:
            return self
        law: QuestionLaw = next(law for law in question if law == asking)
        samples = (self.tuning, self.stable, self.ruptured)
        return Samples(*(ask(sample, dict(question), law, seed + part) for part, sample in enumerate(samples)))

    def first(self, count: int) -> "Samples":
        return Samples(*(sample.select(slice(0, count)) for sample in (self.tuning, self.stable, self.ruptured)))


@dataclass(frozen=True, slots=True)
class TrialResamples:
    """The same for all methods of a world."""

    tuning: Resamples
    stable: Resamples
    ruptured: Resamples

    @classmethod
    def draw(cls, samples: Samples, resamples: int, seed: int) -> "TrialResamples":
        counts = (len(samples.tuning), len(samples.stable), len(samples.ruptured))
        return cls(*(Resamples.draw(count, resamples, seed + part) for part, count in enumerate(counts)))

    def first(self, count: int) -> "TrialResamples":
        return TrialResamples(*(resamples.first(count) for resamples in (self.tuning, self.stable, self.ruptured)))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one method does at the budget of false alarms."""

    thresholds: Estimate
    found: BoolArray
    """The ruptures found within two sessions: thresholds by relationships."""
    found_within: tuple[BoolArray, ...]
    """At the first threshold, within 0, 1, 2 and 3 sessions."""
    falsely_alarmed: BoolArray
    """The stable relationships that ever have an alarm, at the first threshold."""
    windowed: FloatArray
    tuning_peaks: FloatArray


@dataclass(frozen=True, slots=True)
class Messages:
    """What Attune really says with one asking and its default policy, at a base rate."""

    stable: Folded
    ruptured: Folded


@dataclass(frozen=True, slots=True)
class Posteriors:
    """What an oracle says: the probability of a rupture at each appointment of the first relationships."""

    stable: FloatArray
    ruptured: FloatArray


@dataclass(frozen=True, slots=True)
class WorldTrial:
    """The results of every method in one world."""

    world: SimulatedWorld
    samples: Samples
    resamples: TrialResamples
    outcomes: dict[str, Outcome]
    messages: dict[str, Messages]
    """By the asking."""
    messages_at_base_rate: dict[float, dict[str, Messages]]
    """The same, for probabilities that are stated for each base rate; maybe of the first relationships only."""
    posteriors: dict[tuple[str, str, float], Posteriors] = field(default_factory=dict)
    """By the oracle, the asking and the base rate."""

    @property
    def is_whole(self) -> BoolArray:
        """The ruptures that lower all ratings: V, step and slide."""
        return np.isin(self.samples.ruptured.truth.kind, TOTAL_VISIBLE_KINDS)

    def is_tried(self, *methods: str) -> BoolArray:
        """The relationships with a rupture that all these methods were tried on."""
        count = min(self.outcomes[method].found.shape[1] for method in methods)
        return np.arange(len(self.samples.ruptured)) < count

    def share_found(self, method: str, members: BoolArray | None = None) -> Estimate:
        """The share of ruptures that a method finds at the budget, of those that it was tried on."""
        found = self.outcomes[method].found
        count = found.shape[1]
        return self.resamples.ruptured.first(count).share(found, None if members is None else members[:count])

    def share_messaged(self, asking: str, members: BoolArray | None = None) -> Estimate:
        """The share of ruptures for which the probability makes Attune send a message within two sessions."""
        alarmed = self.messages[asking].ruptured.is_alarmed
        messaged = happens_in_window(alarmed, self.samples.ruptured, DETECTION_LIMIT_SESSIONS)
        return self.resamples.ruptured.share(messaged, members)

    def falsely_messaged(self, asking: str) -> Estimate:
        """The share of stable relationships to which the probability makes Attune send a message."""
        return self.resamples.stable.share(np.asarray(self.messages[asking].stable.is_alarmed.any(axis=1)))


def evaluate(samples: Samples, scores: tuple[FloatArray, ...], resamples: TrialResamples, budget: float) -> Outcome:
    """The outcome of a method with these scores of the three samples."""
    tuning, stable, ruptured = scores
    peaks = peak_scores(tuning)
    thresholds = thresholds_for_budget(peaks, resamples.tuning, budget)
    windows = [window_scores(ruptured, samples.ruptured, limit) for limit in range(DETECTION_LIMIT_SESSIONS + 2)]
    windowed = windows[DETECTION_LIMIT_SESSIONS]
    return Outcome(
        thresholds,
        is_detected(windowed, thresholds),
        tuple(is_detected(window, thresholds[:1])[0] for window in windows),
        peak_scores(stable) >= thresholds[0],
        windowed,
        peaks,
    )


def run_trial(world: SimulatedWorld, question: Mapping[QuestionLaw, QuestionSettings], run: RunSettings) -> WorldTrial:
    """Evaluate every method on the same relationships and the same bootstrap resamples."""
    samples = Samples.generate(world, run.relationships, run.seed)
    resamples = TrialResamples.draw(samples, run.resamples, run.seed)
    outcomes = {
        name: evaluate(samples, _scores(samples, method), resamples, run.false_alarm_budget)
        for name, method in {ORACLE_OF_PERSON: oracle_of_person, **METHODS}.items()
    }
    for name, with_behaviour in ((ORACLE, False), (ORACLE_WITH_BEHAVIOUR, True)):
        scores = _oracle_scores(samples, world, with_behaviour)
        outcomes[name] = evaluate(samples, scores, resamples, run.false_alarm_budget)
    askings = {asking: samples.asked(question, asking, run.seed) for asking in ASKINGS}
    of_client, posteriors = _view(askings, world, question, resamples, run)
    outcomes |= of_client
    messages, at_other_base_rate = dict[str, Messages](), dict[str, Messages]()
    for asking, of_asking in askings.items():
        previous = _scores(of_asking, previous_model)
        outcomes[asked(PREVIOUS, asking)] = evaluate(of_asking, previous, resamples, run.false_alarm_budget)
        folded = [fold_all(sample) for sample in (of_asking.tuning, of_asking.stable, of_asking.ruptured)]
        scores = tuple(part.score for part in folded)
        outcomes[asked(ATTUNE, asking)] = evaluate(of_asking, scores, resamples, run.false_alarm_budget)
        messages[asking] = Messages(*folded[1:])
        few, policy = of_asking.first(run.relationships_at_other_base_rate), policy_at(OTHER_BASE_RATE)
        at_other_base_rate[asking] = Messages(fold_all(few.stable, policy), fold_all(few.ruptured, policy))
    by_base_rate = {SHIPPED_BASE_RATE: messages, OTHER_BASE_RATE: at_other_base_rate}
    return WorldTrial(world, samples, resamples, outcomes, messages, by_base_rate, posteriors)


def _scores(samples: Samples, method: Method) -> tuple[FloatArray, ...]:
    return method(samples.tuning), method(samples.stable), method(samples.ruptured)


def _oracle_scores(samples: Samples, world: SimulatedWorld, with_behaviour: bool) -> tuple[FloatArray, ...]:
    def score(relationships: Relationships, settings: WorldSettings) -> FloatArray:
        return oracle_of_everything(relationships, settings, with_behaviour)

    return (
        score(samples.tuning, world.tuned),
        score(samples.stable, world.reported),
        score(samples.ruptured, world.reported),
    )


def _view(
    askings: Mapping[str, Samples],
    world: SimulatedWorld,
    question: Mapping[QuestionLaw, QuestionSettings],
    resamples: TrialResamples,
    run: RunSettings,
) -> tuple[dict[str, Outcome], dict[tuple[str, str, float], Posteriors]]:
    """What the oracle of the client finds, and what both oracles say, in the first relationships."""
    few = {asking: samples.first(run.oracle_relationships) for asking, samples in askings.items()}
    tuning, stable, ruptured = (
        view_all({asking: getattr(of, part) for asking, of in few.items()}, settings, question, BASE_RATES, seed)
        for seed, (part, settings) in enumerate(
            (("tuning", world.tuned), ("stable", world.reported), ("ruptured", world.reported)), start=run.seed
        )
    )
    outcomes = {
        asked(oracle, asking): evaluate(
            few[asking],
            (tuning.scores[oracle, asking], stable.scores[oracle, asking], ruptured.scores[oracle, asking]),
            resamples.first(run.oracle_relationships),
            run.false_alarm_budget,
        )
        for oracle, asking in tuning.scores
        if oracle in (ORACLE_OF_CLIENT, ORACLE_OF_CLIENT_WITH_BEHAVIOUR)
    }
    return outcomes, {key: Posteriors(stable.posteriors[key], ruptured.posteriors[key]) for key in stable.posteriors}
