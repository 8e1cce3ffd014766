"""One simulated relationship of each kind of rupture, as the service sees it."""

from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib import pyplot as plt

from evaluation.attune import history_of
from evaluation.plots import save_figure
from evaluation.simulation.events import FIRST_SESSION_AT
from evaluation.simulation.settings import KINDS
from evaluation.simulation.truth import Relationships
from services.alliance.domain.fold import fold_steps
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.trajectory import Point, point_for
from shared.clinical.wording import describe_evidence

MIN_ANSWERED_SHARE = 0.7  # of the forms, so that there is something to see
LINE_WIDTH_CHARACTERS, MAX_CAPTION_LINES = 125, 8
SEVERITY_COLOURS = {"watch": "#e0b0c4", "concern": "#b0406f", "urgent": "#600030"}


def plot_trajectories(ruptured: Relationships, path: Path) -> None:
    """Plot, for each kind, the first relationship with a deep rupture in the middle and most forms submitted."""
    figure, axes = plt.subplots(len(KINDS), 1, figsize=(8, 3 * len(KINDS)))
    for kind, axis in enumerate(axes):
        _plot_relationship(ruptured, _typical_row(ruptured, kind), axis, KINDS[kind])
    save_figure(figure, path)


def _typical_row(ruptured: Relationships, kind: int) -> int:
    truth, answered = ruptured.truth, ruptured.observations.answered.mean(axis=1)
    is_deep_and_central = (
        (truth.onset_session >= 5)
        & (truth.onset_session <= 9)
        & (truth.depth > 2.5)
        & (truth.appointment_count > truth.onset_session + 3)
    )
    return int(np.flatnonzero((truth.kind == kind) & is_deep_and_central & (answered >= MIN_ANSWERED_SHARE))[0])


def _plot_relationship(ruptured: Relationships, row: int, axis: Any, title: str) -> None:
    ruptures, points, caption = ruptured.truth.ruptures, list[Point](), list[str]()
    for event, before, after in fold_steps(history_of(ruptured, row), DEFAULT_POLICY):
        new_point = point_for(event, before, DEFAULT_POLICY)
        points += [new_point] if new_point else []
        week = (event.occurred_at - FIRST_SESSION_AT).days // 7
        was, now = before.open_episode, after.open_episode
        if now and (was is None or was.severity != now.severity):
            text = f"week {week}, {now.severity}: {' '.join(describe_evidence(now.evidence))}"
            caption += wrap(text, LINE_WIDTH_CHARACTERS)
            axis.axvline(week, color=SEVERITY_COLOURS[now.severity], linewidth=1.5)
        if was and not now:
            ending = "repaired" if after.last_repaired != before.last_repaired else "ended"
            caption.append(f"week {week}: {ending}")
            axis.axvline(week, color="#2a9d6f", linewidth=1.5, linestyle=":")
    axis.axvspan(ruptures.onset[row, 0] - 0.5, ruptures.end[row, 0] - 0.5, color="#f3e3ea")
    _plot_points(axis, points)
    axis.set_title(title, loc="left", fontweight="bold")
    axis.set_xlim(-0.5, ruptured.observations.total.shape[1] - 0.5)
    axis.set_xlabel("\n".join(caption[:MAX_CAPTION_LINES]) or "no alert", loc="left", fontsize=7.5)


def _plot_points(axis: Any, points: list[Point]) -> None:
    client_points = [trajectory_point for trajectory_point in points if trajectory_point.what == "client_rating"]
    weeks = [_week_of(trajectory_point) for trajectory_point in client_points]
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
        [_week_of(trajectory_point) for trajectory_point in clinician_points],
        [trajectory_point.rating for trajectory_point in clinician_points],
        "x",
        color="#999999",
        label="clinician",
    )
    for trajectory_point in points:
        if trajectory_point.what in ("missed", "unanswered"):
            marker = "v" if trajectory_point.what == "missed" else "_"
            axis.plot(_week_of(trajectory_point), 0.04, marker, color="#b0406f", transform=axis.get_xaxis_transform())


def _week_of(trajectory_point: Point) -> int:
    return (trajectory_point.at - FIRST_SESSION_AT).days // 7
