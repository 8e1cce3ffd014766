"""One planted relationship of each kind, as the service itself sees it."""

from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from evaluation.events import BEGINNING, facts_of
from evaluation.plots import keep
from evaluation.relationships import Relationships
from evaluation.settings import KINDS
from services.alliance.domain.fold import states
from services.alliance.domain.policy.policy import DEFAULT
from services.alliance.domain.presentation.trajectory import Point, point
from shared.clinical.wording import sentence

MOSTLY = 0.7  # of the forms were given back
WIDTH, MOST = 125, 8  # letters of a line, and lines below a picture
SEVERITY = {"watch": "#e0b0c4", "concern": "#b0406f", "urgent": "#600030"}


def draw(ruptured: Relationships, path: Path) -> None:
    """A picture of the first relationship of each kind that has a deep rupture in its middle, and mostly answers."""
    figure, axes = plt.subplots(len(KINDS), 1, figsize=(8, 3 * len(KINDS)))
    for kind, axis in enumerate(axes):
        _draw(ruptured, _typical(ruptured, kind), axis, KINDS[kind])
    keep(figure, path)


def _typical(ruptured: Relationships, kind: int) -> int:
    truth, answered = ruptured.truth, ruptured.seen.answered.mean(axis=1)
    is_deep_and_central = (truth.onset >= 5) & (truth.onset <= 9) & (truth.depth > 2.5) & (truth.last > truth.onset + 3)
    return int(np.flatnonzero((truth.kind == kind) & is_deep_and_central & (answered >= MOSTLY))[0])


def _draw(ruptured: Relationships, row: int, axis: Any, title: str) -> None:
    truth = ruptured.truth
    points: list[Point] = []
    caption: list[str] = []
    for event, before, after in states(facts_of(ruptured.seen, row), DEFAULT):
        new_point = point(event, before, DEFAULT)
        points += [new_point] if new_point else []
        week = (event.occurred_at - BEGINNING).days // 7
        if after.open and (not before.open or after.open.severity != before.open.severity):
            signs = " ".join(sentence(sign) for sign in after.open.evidence)
            caption += wrap(f"week {week}, {after.open.severity}: {signs}", WIDTH)
            axis.axvline(week, color=SEVERITY[after.open.severity], linewidth=1.5)
        if before.open and not after.open:
            caption.append(f"week {week}: repaired")
            axis.axvline(week, color="#2a9d6f", linewidth=1.5, linestyle=":")
    axis.axvspan(truth.onset[row] - 0.5, truth.end[row] - 0.5, color="#f3e3ea")
    _points(axis, points)
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_xlim(-0.5, ruptured.seen.total.shape[1] - 0.5)
    axis.set_xlabel("\n".join(caption[:MOST]) or "nothing was told", loc="left", fontsize=7.5)


def _points(axis: Any, points: list[Point]) -> None:
    client_points = [trajectory_point for trajectory_point in points if trajectory_point.what == "client_rating"]
    weeks = [_week(trajectory_point) for trajectory_point in client_points]
    axis.fill_between(
        weeks,
        [trajectory_point.low for trajectory_point in client_points],
        [trajectory_point.high for trajectory_point in client_points],
        color="#4c78a8",
        alpha=0.15,
    )
    axis.plot(
        weeks,
        [trajectory_point.rating for trajectory_point in client_points],
        color="#4c78a8",
        marker="o",
        markersize=3,
        label="client",
    )
    clinician_points = [trajectory_point for trajectory_point in points if trajectory_point.what == "clinician_rating"]
    axis.plot(
        [_week(trajectory_point) for trajectory_point in clinician_points],
        [trajectory_point.rating for trajectory_point in clinician_points],
        "x",
        color="#999999",
        label="clinician",
    )
    for trajectory_point in points:
        if trajectory_point.what in ("missed", "unanswered"):
            marker = "v" if trajectory_point.what == "missed" else "_"
            axis.plot(_week(trajectory_point), 0.04, marker, color="#b0406f", transform=axis.get_xaxis_transform())


def _week(trajectory_point: Point) -> int:
    return (trajectory_point.at - BEGINNING).days // 7
