"""A backtest for people (Markdown) and for spreadsheets (CSV): every number with the episodes behind it."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from io import StringIO
from uuid import UUID

from services.alliance.domain.tuning.dispositions import precision
from services.alliance.domain.tuning.replay import Change, Kind, Raised, Week
from services.alliance.policies.backtest import Backtest

MOVED = "One that would come earlier or later is the same alert, and counts in the week in which it comes."

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


def summary(backtest: Backtest) -> str:
    """In a few lines: how many alerts there would have been, and how many there were."""
    kinds = Counter(change.kind for change in backtest.changes)
    before, after = kinds["raised as before"], kinds["raised as before"]
    before, after = before + kinds["no longer raised"], after + kinds["raised"]
    weeks = len(backtest.weeks)
    useful = {True: Counter[Kind](), False: Counter[Kind]()}
    usefulness = _judged(backtest)
    for change in backtest.changes:
        if (is_useful := _useful(change, usefulness)) is not None:
            useful[is_useful][change.kind] += 1
    lines = [
        f"{backtest.relationships} relationships, {weeks} weeks of clinicians with an appointment. "
        f"In force: {', '.join(sorted(backtest.in_force))}; new: {backtest.new.digest}.",
        "",
        "| | in force | new policy | newly | no longer |",
        "|---|---:|---:|---:|---:|",
        f"| alerts | {before} | {after} | {kinds['raised']} | {kinds['no longer raised']} |",
        f"| alerts per clinician and week | {before / weeks:.3f} | {after / weeks:.3f} | | |",
        f"| only worth watching | {_watched(change.old for change in backtest.changes)} | {_watched(change.new for change in backtest.changes)} "
        f"| {kinds['watched']} | {kinds['no longer watched']} |",
    ]
    for is_useful, label in ((True, "useful"), (False, "not useful")):
        if total := sum(useful[is_useful].values()):
            lines += [
                "",
                f"Of {total} alerts that clinicians called {label}, {useful[is_useful]['no longer raised']} go.",
            ]
    return "\n".join(lines) + "\n"


def markdown(backtest: Backtest, name: str) -> str:
    """All of it."""
    alerts = [
        change
        for change in backtest.changes
        if any(episode and episode.interrupts for episode in (change.old, change.new))
    ]
    parts = [
        f"# Backtest of {name}",
        "",
        summary(backtest),
        "## Alerts per clinician and week",
        "",
        MOVED,
        "",
        *_weeks(alerts),
        "",
    ]
    parts += ["## The episodes", "", *_episodes(alerts, _judged(backtest)), ""]
    parts += ["## What clinicians said of the alerts they had", "", *_precision(backtest), ""]
    return "\n".join(parts)


def table(backtest: Backtest) -> str:
    """Each episode in a row, those that are only worth watching too."""
    usefulness = _judged(backtest)
    buffer = StringIO()
    rows = csv.writer(buffer, lineterminator="\n")
    rows.writerow(COLUMNS)
    for change in sorted(backtest.changes, key=_order):
        rows.writerow(_row(change, usefulness))
    return buffer.getvalue()


def _row(change: Change, usefulness: dict[UUID, bool | None]) -> Iterator[object]:
    episode, useful = change.shown, _useful(change, usefulness)
    yield change.kind
    yield episode.clinician or ""
    yield episode.week[1]
    yield episode.relationship
    yield episode.episode
    yield change.old.severity if change.old else ""
    yield change.new.severity if change.new else ""
    yield change.old.at.isoformat() if change.old else ""
    yield change.new.at.isoformat() if change.new else ""
    yield " ".join(episode.detectors)
    yield "" if useful is None else "yes" if useful else "no"


def _weeks(alerts: Iterable[Change]) -> Iterator[str]:
    """A row for each week in which either policy raises anything."""
    episodes_by_week: defaultdict[Week, dict[str, list[Raised]]] = defaultdict(
        lambda: {"old": [], "new": [], "+": [], "−": []}
    )
    for change in alerts:
        if change.old is not None and change.old.interrupts:
            episodes_by_week[change.old.week]["old"].append(change.old)
            if change.kind == "no longer raised":
                episodes_by_week[change.old.week]["−"].append(change.old)
        if change.new is not None and change.new.interrupts:
            episodes_by_week[change.new.week]["new"].append(change.new)
            if change.kind == "raised":
                episodes_by_week[change.new.week]["+"].append(change.new)
    yield "| clinician | week | in force | new policy | newly | no longer | episodes in force | episodes, new policy |"
    yield "|---|---|---:|---:|---:|---:|---|---|"
    for (clinician, week), episodes in sorted(episodes_by_week.items(), key=lambda item: (str(item[0][0]), item[0][1])):
        counts = " | ".join(str(len(episodes[column])) for column in ("old", "new", "+", "−"))
        yield f"| {clinician or 'unknown'} | {week} | {counts} | {_ids(episodes['old'])} | {_ids(episodes['new'])} |"


def _episodes(alerts: Iterable[Change], usefulness: dict[UUID, bool | None]) -> Iterator[str]:
    yield "| change | episode | relationship | in force | new policy | signs | useful |"
    yield "|---|---|---|---|---|---|---|"
    for change in sorted(alerts, key=_order):
        episode, useful = change.shown, _useful(change, usefulness)
        yield (
            f"| {change.kind} | {episode.episode} | {episode.relationship} | {_when(change.old)} | {_when(change.new)} "
            f"| {', '.join(episode.detectors)} | {'' if useful is None else 'yes' if useful else 'no'} |"
        )


def _precision(backtest: Backtest) -> Iterator[str]:
    precisions = precision(backtest.judgements)
    if not precisions:
        yield "Nobody has said of an alert whether it was useful."
        return
    yield "An alert counts for every detector that took part in it."
    yield ""
    yield "| policy | detector | useful | not useful | unsaid | share useful |"
    yield "|---|---|---:|---:|---:|---:|"
    for each in precisions:
        useful_ratio = "" if each.share is None else f"{each.share:.0%}"
        yield (
            f"| {each.policy} | {each.detector} | {each.useful} | {each.not_useful} | {each.unsaid} | {useful_ratio} |"
        )


def _judged(backtest: Backtest) -> dict[UUID, bool | None]:
    return {disposition.episode: disposition.useful for disposition in backtest.judgements}


def _useful(change: Change, usefulness: dict[UUID, bool | None]) -> bool | None:
    answers = [usefulness.get(episode.episode) for episode in (change.old, change.new) if episode]
    return next((useful for useful in answers if useful is not None), None)


def _watched(episodes: Iterable[Raised | None]) -> int:
    return sum(episode is not None and not episode.interrupts for episode in episodes)


def _order(change: Change) -> tuple[str, str, str]:
    episode = change.shown
    return str(episode.clinician), episode.at.isoformat(), str(episode.episode)


def _when(episode: Raised | None) -> str:
    return f"{episode.severity}, {episode.at:%Y-%m-%d}" if episode else ""


def _ids(episodes: Iterable[Raised]) -> str:
    return ", ".join(str(episode.episode)[:8] for episode in episodes)
