"""What a clinic's adaptation of its policy is worth: false alarms after 200 relationships of history."""

from dataclasses import dataclass
from uuid import uuid5

import numpy as np

from evaluation.attune import CLIENT_NAMESPACE, SHIPPED_BASE_RATE, SHIPPED_POLICY, adapt_policy, fold_all, history_of
from evaluation.settings import RunSettings
from evaluation.simulation.generator import generate_ruptured, generate_stable
from evaluation.simulation.settings import SimulatedWorld


@dataclass(frozen=True, slots=True)
class Repeat:
    """One clinic: the share of fresh stable relationships that are falsely alarmed."""

    world: str
    shipped: float
    adapted: float
    concern: float
    """The adapted threshold."""


def run_repeats(worlds: tuple[SimulatedWorld, ...], run: RunSettings) -> list[Repeat]:
    """Clinics of all worlds in turn, each with a history and fresh relationships of its own."""
    return [
        _repeat(worlds[number % len(worlds)], run, run.seed + 1000 + number) for number in range(run.adaptation_repeats)
    ]


def _repeat(world: SimulatedWorld, run: RunSettings, seed: int) -> Repeat:
    ruptured_count = round(run.adaptation_history * SHIPPED_BASE_RATE)
    samples = (
        generate_stable(world.reported, run.adaptation_history - ruptured_count, seed),
        generate_ruptured(world.reported, ruptured_count, seed),
    )
    histories = [
        history_of(sample, row, uuid5(CLIENT_NAMESPACE, f"{part} {row}"))
        for part, sample in enumerate(samples)
        for row in range(len(sample))
    ]
    policy = adapt_policy(histories, SHIPPED_POLICY)
    fresh = generate_stable(world.reported, run.adaptation_fresh, seed + 1_000_000)
    shares = [float(np.mean(fold_all(fresh, tried).is_alarmed.any(axis=1))) for tried in (SHIPPED_POLICY, policy)]
    return Repeat(world.name, shares[0], shares[1], policy.concern)
