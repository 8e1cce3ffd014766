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
    middle = (truth.onset >= 5) & (truth.onset <= 9) & (truth.depth > 2.5) & (truth.last > truth.onset + 3)
    return int(np.flatnonzero((truth.kind == kind) & middle & (answered >= MOSTLY))[0])


def _draw(ruptured: Relationships, row: int, axis: Any, title: str) -> None:
    truth = ruptured.truth
    points: list[Point] = []
    told: list[str] = []
    for fact, before, after in states(facts_of(ruptured.seen, row), DEFAULT):
        shown = point(fact, before, DEFAULT)
        points += [shown] if shown else []
        week = (fact.occurred_at - BEGINNING).days // 7
        if after.open and (not before.open or after.open.severity != before.open.severity):
            signs = " ".join(sentence(sign) for sign in after.open.evidence)
            told += wrap(f"week {week}, {after.open.severity}: {signs}", WIDTH)
            axis.axvline(week, color=SEVERITY[after.open.severity], linewidth=1.5)
        if before.open and not after.open:
            told.append(f"week {week}: repaired")
            axis.axvline(week, color="#2a9d6f", linewidth=1.5, linestyle=":")
    axis.axvspan(truth.onset[row] - 0.5, truth.end[row] - 0.5, color="#f3e3ea")
    _points(axis, points)
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_xlim(-0.5, ruptured.seen.total.shape[1] - 0.5)
    axis.set_xlabel("\n".join(told[:MOST]) or "nothing was told", loc="left", fontsize=7.5)


def _points(axis: Any, points: list[Point]) -> None:
    client = [p for p in points if p.what == "client_rating"]
    weeks = [_week(p) for p in client]
    axis.fill_between(weeks, [p.low for p in client], [p.high for p in client], color="#4c78a8", alpha=0.15)
    axis.plot(weeks, [p.rating for p in client], color="#4c78a8", marker="o", markersize=3, label="client")
    other = [p for p in points if p.what == "clinician_rating"]
    axis.plot([_week(p) for p in other], [p.rating for p in other], "x", color="#999999", label="clinician")
    for p in points:
        if p.what in ("missed", "unanswered"):
            marker = "v" if p.what == "missed" else "_"
            axis.plot(_week(p), 0.04, marker, color="#b0406f", transform=axis.get_xaxis_transform())


def _week(shown: Point) -> int:
    return (shown.at - BEGINNING).days // 7
