"""The results as pictures. The same results give the same bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from evaluation.attune import SHIPPED_BASE_RATE
from evaluation.measured import Results, mean
from evaluation.measures import Resamples, interval, is_detected, thresholds_for_budget
from evaluation.reliability import BINS, MIN_BIN_APPOINTMENTS
from evaluation.settings import ASKINGS
from evaluation.simulation.settings import KINDS
from evaluation.tables import ALL_METHODS, SHOWN_METHODS
from evaluation.trial import WorldTrial

COLOURS = dict(zip(SHOWN_METHODS, ("#777777", "#b0b0b0", "#b8860b", "#4c78a8", "#2a9d6f", "#b0406f"), strict=True))
BUDGETS = np.arange(0.02, 0.42, 0.02)

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "attune", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
mpl.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})


def save_figure(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def plot_by_method(trials: Sequence[WorldTrial], path: Path) -> None:
    """Plot the share of V, step and slide that each method finds, with its interval."""
    figure, axis = plt.subplots(figsize=(7, 5))
    names_from_below = ALL_METHODS[::-1]
    for row, name in enumerate(names_from_below):
        estimate = mean(trial.share_found(name, trial.is_whole) for trial in trials)
        low, high = interval(estimate)
        axis.barh(row, 100 * estimate[0], color=COLOURS.get(name, "#c9c9c9"))
        axis.plot([100 * low, 100 * high], [row, row], color="#222222", linewidth=1.2)
    axis.set_yticks(range(len(ALL_METHODS)), names_from_below)
    axis.set_xlabel("V, step and slide found within two sessions, %")
    save_figure(figure, path)


def plot_by_budget(trials: Sequence[WorldTrial], path: Path) -> None:
    """Plot the share found against the accepted share of false alarms."""
    figure, axis = plt.subplots(figsize=(7, 4))
    for name in SHOWN_METHODS:
        shares = [np.mean([_share_found(trial, name, budget) for trial in trials]) for budget in BUDGETS]
        axis.plot(100 * BUDGETS, 100 * np.array(shares), color=COLOURS[name], label=name)
    axis.set_xlabel("stable relationships with any false alarm in sixteen sessions, %")
    axis.set_ylabel("V, step and slide found within two sessions, %")
    axis.set_ylim(0)
    axis.legend(frameon=False)
    save_figure(figure, path)


def _share_found(trial: WorldTrial, method: str, budget: float) -> float:
    outcome, itself = trial.outcomes[method], Resamples(trial.resamples.tuning.weights[:1])
    thresholds = thresholds_for_budget(outcome.tuning_peaks, itself, budget)
    return float(is_detected(outcome.windowed, thresholds)[0, trial.is_whole[trial.is_tried(method)]].mean())


def plot_by_kind(trials: Sequence[WorldTrial], path: Path) -> None:
    """Plot the share found of each kind of rupture."""
    figure, axis = plt.subplots(figsize=(7, 3.6))
    width = 0.8 / len(SHOWN_METHODS)
    for position, name in enumerate(SHOWN_METHODS):
        for kind in range(len(KINDS)):
            of_kind = [
                trial.outcomes[name].found[0][trial.samples.ruptured.truth.kind[trial.is_tried(name)] == kind]
                for trial in trials
            ]
            share = 100 * np.concatenate(of_kind).mean()
            x = kind + (position - (len(SHOWN_METHODS) - 1) / 2) * width
            axis.bar(x, share, width, color=COLOURS[name], label=name if kind == 0 else None)
    axis.set_xticks(range(len(KINDS)), KINDS)
    axis.set_ylabel("found within two sessions, %")
    axis.legend(frameon=False)
    save_figure(figure, path)


def plot_reliability(results: Results, path: Path) -> None:
    """Plot what is said against what is so: one line a world, for bins with enough appointments."""
    figure, axes = plt.subplots(1, len(ASKINGS), figsize=(10, 3.2), sharey=True)
    for axis, asking in zip(axes, ASKINGS, strict=True):
        axis.plot([0, 1], [0, 1], color="#222222", linewidth=0.8)
        for trial in results.trials:
            reliability = results.reliabilities[trial.world.title, asking, SHIPPED_BASE_RATE]
            is_shown = reliability.count >= MIN_BIN_APPOINTMENTS / BINS
            said, was = (part[0, is_shown] for part in (reliability.predicted, reliability.observed))
            axis.plot(said, was, color="#b0406f", alpha=0.5, marker="o", markersize=2)
        axis.set_title(asking, loc="left")
        axis.set_xlabel("said")
    axes[0].set_ylabel("was in a rupture")
    save_figure(figure, path)
