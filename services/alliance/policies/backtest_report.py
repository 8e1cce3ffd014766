"""A backtest as Markdown for people and as CSV for spreadsheets: every number with the episodes behind it."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from io import StringIO
from uuid import UUID

from services.alliance.domain.tuning.dispositions import measure_precision
from services.alliance.domain.tuning.replay import ChangeKind, ClinicianWeek, EpisodeChange, ReplayedEpisode
from services.alliance.policies.backtest import Backtest

TIMING_NOTE = (
    "An alert that would be raised earlier or later counts as the same alert, in the week in which it is raised."
)

COLUMNS = (
    "change",
    "clinician_id",
    "week",
    "relationship_id",
    "episode_id",
    "severity_in_force",
    "severity_new",
    "at_in_force",
    "at_new",
    "detectors",
    "useful",
)


def render_summary(backtest: Backtest) -> str:
    """A few lines: the number of alerts under the policy in force and under the new one."""
    kinds = Counter(change.kind for change in backtest.changes)
    before, after = kinds["raised as before"], kinds["raised as before"]
    before, after = before + kinds["no longer raised"], after + kinds["raised"]
    watched_before = _count_watched(change.old for change in backtest.changes)
    watched_after = _count_watched(change.new for change in backtest.changes)
    weeks = len(backtest.weeks)
    useful = {True: Counter[ChangeKind](), False: Counter[ChangeKind]()}
    usefulness = _usefulness_by_episode(backtest)
    for change in backtest.changes:
        if (is_useful := _usefulness(change, usefulness)) is not None:
            useful[is_useful][change.kind] += 1
    lines = [
        f"{backtest.relationships} relationships, {weeks} clinician weeks with an appointment. "
        f"In force: {', '.join(sorted(backtest.policies_in_force))}; new: {backtest.new_policy.digest}.",
        "",
        "| | in force | new policy | newly | no longer |",
        "|---|---:|---:|---:|---:|",
        f"| alerts | {before} | {after} | {kinds['raised']} | {kinds['no longer raised']} |",
        f"| alerts per clinician and week | {before / weeks:.3f} | {after / weeks:.3f} | | |",
        f"| only worth watching | {watched_before} | {watched_after} "
        f"| {kinds['watched']} | {kinds['no longer watched']} |",
    ]
    for is_useful, label in ((True, "useful"), (False, "not useful")):
        if total := sum(useful[is_useful].values()):
            lines += [
                "",
                f"Of {total} alerts that clinicians called {label}, "
                f"{useful[is_useful]['no longer raised']} would no longer be raised.",
            ]
    return "\n".join(lines) + "\n"


def render_markdown(backtest: Backtest, name: str) -> str:
    alerts = [
        change
        for change in backtest.changes
        if any(episode and episode.is_alert for episode in (change.old, change.new))
    ]
    parts = [
        f"# Backtest of {name}",
        "",
        render_summary(backtest),
        "## Alerts per clinician and week",
        "",
        TIMING_NOTE,
        "",
        *_week_rows(alerts),
        "",
    ]
    parts += ["## The episodes", "", *_episode_rows(alerts, _usefulness_by_episode(backtest)), ""]
    parts += ["## How clinicians rated the alerts", "", *_precision_rows(backtest), ""]
    return "\n".join(parts)


def render_csv(backtest: Backtest) -> str:
    """One row per episode, including those that are only worth watching."""
    usefulness = _usefulness_by_episode(backtest)
    buffer = StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)
    for change in sorted(backtest.changes, key=_sort_key):
        rows.writerow(_csv_row(change, usefulness))
    return buffer.getvalue()


def _csv_row(change: EpisodeChange, usefulness: dict[UUID, bool | None]) -> Iterator[object]:
    episode, useful = change.latest, _usefulness(change, usefulness)
    yield change.kind
    yield episode.clinician or ""
    yield episode.week[1]
    yield episode.relationship
    yield episode.episode_id
    yield change.old.severity if change.old else ""
    yield change.new.severity if change.new else ""
    yield change.old.raised_at.isoformat() if change.old else ""
    yield change.new.raised_at.isoformat() if change.new else ""
    yield " ".join(episode.detectors)
    yield "" if useful is None else "yes" if useful else "no"


def _week_rows(alerts: Iterable[EpisodeChange]) -> Iterator[str]:
    """One row for each week in which either policy raises an alert."""
    episodes_by_week: defaultdict[ClinicianWeek, dict[str, list[ReplayedEpisode]]] = defaultdict(
        lambda: {"old": [], "new": [], "+": [], "−": []}
    )
    for change in alerts:
        if change.old is not None and change.old.is_alert:
            episodes_by_week[change.old.week]["old"].append(change.old)
            if change.kind == "no longer raised":
                episodes_by_week[change.old.week]["−"].append(change.old)
        if change.new is not None and change.new.is_alert:
            episodes_by_week[change.new.week]["new"].append(change.new)
            if change.kind == "raised":
                episodes_by_week[change.new.week]["+"].append(change.new)
    yield "| clinician | week | in force | new policy | newly | no longer | episodes in force | episodes, new policy |"
    yield "|---|---|---:|---:|---:|---:|---|---|"
    for (clinician, week), episodes in sorted(episodes_by_week.items(), key=lambda item: (str(item[0][0]), item[0][1])):
        counts = " | ".join(str(len(episodes[column])) for column in ("old", "new", "+", "−"))
        ids = f"{_short_ids(episodes['old'])} | {_short_ids(episodes['new'])}"
        yield f"| {clinician or 'unknown'} | {week} | {counts} | {ids} |"


def _episode_rows(alerts: Iterable[EpisodeChange], usefulness: dict[UUID, bool | None]) -> Iterator[str]:
    yield "| change | episode | relationship | in force | new policy | signs | useful |"
    yield "|---|---|---|---|---|---|---|"
    for change in sorted(alerts, key=_sort_key):
        episode, useful = change.latest, _usefulness(change, usefulness)
        yield (
            f"| {change.kind} | {episode.episode_id} | {episode.relationship} "
            f"| {_severity_and_date(change.old)} | {_severity_and_date(change.new)} "
            f"| {', '.join(episode.detectors)} | {'' if useful is None else 'yes' if useful else 'no'} |"
        )


def _precision_rows(backtest: Backtest) -> Iterator[str]:
    precisions = measure_precision(backtest.dispositions)
    if not precisions:
        yield "No clinician has rated an alert yet."
        return
    yield "An alert counts once for each of its detectors."
    yield ""
    yield "| policy | detector | useful | not useful | not stated | share useful |"
    yield "|---|---|---:|---:|---:|---:|"
    for precision in precisions:
        useful_ratio = "" if precision.useful_ratio is None else f"{precision.useful_ratio:.0%}"
        yield (
            f"| {precision.policy} | {precision.detector} "
            f"| {precision.useful} | {precision.not_useful} | {precision.not_stated} | {useful_ratio} |"
        )


def _usefulness_by_episode(backtest: Backtest) -> dict[UUID, bool | None]:
    return {disposition.episode: disposition.useful for disposition in backtest.dispositions}


def _usefulness(change: EpisodeChange, usefulness: dict[UUID, bool | None]) -> bool | None:
    answers = [usefulness.get(episode.episode_id) for episode in (change.old, change.new) if episode]
    return next((useful for useful in answers if useful is not None), None)


def _count_watched(episodes: Iterable[ReplayedEpisode | None]) -> int:
    return sum(episode is not None and not episode.is_alert for episode in episodes)


def _sort_key(change: EpisodeChange) -> tuple[str, str, str]:
    episode = change.latest
    return str(episode.clinician), episode.raised_at.isoformat(), str(episode.episode_id)


def _severity_and_date(episode: ReplayedEpisode | None) -> str:
    return f"{episode.severity}, {episode.raised_at:%Y-%m-%d}" if episode else ""


def _short_ids(episodes: Iterable[ReplayedEpisode]) -> str:
    return ", ".join(str(episode.episode_id)[:8] for episode in episodes)
