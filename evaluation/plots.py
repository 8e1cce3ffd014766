"""The results as pictures. The same results give the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt

from evaluation.criteria import average_share, confidence_interval
from evaluation.measures import is_detected, threshold_for_budget
from evaluation.settings import KINDS
from evaluation.tables import SHOWN_METHODS
from evaluation.trial import METHODS, WorldResult

COLOURS = dict(zip(SHOWN_METHODS, ("#777777", "#b8860b", "#4c78a8", "#2a9d6f", "#b0406f"), strict=True))
BUDGETS = np.arange(0.02, 0.42, 0.02)

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "attune", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
mpl.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})


def save_figure(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def plot_by_method(results: list[WorldResult], path: Path) -> None:
    """Plot the share of V, step and slide that each method finds, with its interval."""
    figure, axis = plt.subplots(figsize=(7, 4))
    names_from_below = list(METHODS)[::-1]
    for row, name in enumerate(names_from_below):
        value, bootstrap = average_share(results, name, only_total_visible=True)
        low, high = confidence_interval(bootstrap)
        axis.barh(row, 100 * value, color=COLOURS.get(name, "#c9c9c9"))
        axis.plot([100 * low, 100 * high], [row, row], color="#222222", linewidth=1.2)
    axis.set_yticks(range(len(METHODS)), names_from_below)
    axis.set_xlabel("V, step and slide found within two sessions, %, with a false alarm in 20% of stable relationships")
    save_figure(figure, path)


def plot_by_budget(results: list[WorldResult], path: Path) -> None:
    """Plot the share found against the accepted share of false alarms."""
    figure, axis = plt.subplots(figsize=(7, 4))
    for name in SHOWN_METHODS:
        shares = [np.mean([_detected_share(result, name, budget) for result in results]) for budget in BUDGETS]
        axis.plot(100 * BUDGETS, 100 * np.array(shares), color=COLOURS[name], label=name)
    axis.set_xlabel("stable relationships with any false alarm in sixteen sessions, %")
    axis.set_ylabel("V, step and slide found within two sessions, %")
    axis.set_ylim(0)
    axis.legend(frameon=False)
    save_figure(figure, path)


def _detected_share(result: WorldResult, method: str, budget: float) -> float:
    method_result = result.methods[method]
    return float(
        is_detected(method_result.windowed_scores, threshold_for_budget(method_result.tuning_peaks, budget))[
            result.is_total_visible
        ].mean()
    )


def plot_by_kind(results: list[WorldResult], path: Path) -> None:
    """Plot the share found of each kind of rupture."""
    figure, axis = plt.subplots(figsize=(7, 3.6))
    width = 0.8 / len(SHOWN_METHODS)
    for method_index, name in enumerate(SHOWN_METHODS):
        for kind in range(len(KINDS)):
            shares = [
                result.methods[name].detected[result.samples.ruptured.truth.kind == kind].mean() for result in results
            ]
            x_position, share = kind + (method_index - 2) * width, 100 * float(np.mean(shares))
            axis.bar(x_position, share, width, color=COLOURS[name], label=name if kind == 0 else None)
    axis.set_xticks(range(len(KINDS)), KINDS)
    axis.set_ylabel("found within two sessions, %")
    axis.legend(frameon=False)
    save_figure(figure, path)
