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


def summary(found: Backtest) -> str:
    """In a few lines: how many alerts there would have been, and how many there were."""
    kinds = Counter(change.kind for change in found.changes)
    before, after = kinds["raised as before"], kinds["raised as before"]
    before, after = before + kinds["no longer raised"], after + kinds["raised"]
    weeks = len(found.weeks)
    useful = {True: Counter[Kind](), False: Counter[Kind]()}
    judged = _judged(found)
    for change in found.changes:
        if (said := _useful(change, judged)) is not None:
            useful[said][change.kind] += 1
    lines = [
        f"{found.relationships} relationships, {weeks} weeks of clinicians with an appointment. "
        f"In force: {', '.join(sorted(found.in_force))}; new: {found.new.digest}.",
        "",
        "| | in force | new policy | newly | no longer |",
        "|---|---:|---:|---:|---:|",
        f"| alerts | {before} | {after} | {kinds['raised']} | {kinds['no longer raised']} |",
        f"| alerts per clinician and week | {before / weeks:.3f} | {after / weeks:.3f} | | |",
        f"| only worth watching | {_watched(c.old for c in found.changes)} | {_watched(c.new for c in found.changes)} "
        f"| {kinds['watched']} | {kinds['no longer watched']} |",
    ]
    for said, name in ((True, "useful"), (False, "not useful")):
        if of := sum(useful[said].values()):
            lines += ["", f"Of {of} alerts that clinicians called {name}, {useful[said]['no longer raised']} go."]
    return "\n".join(lines) + "\n"


def markdown(found: Backtest, name: str) -> str:
    """All of it."""
    alerts = [change for change in found.changes if any(r and r.interrupts for r in (change.old, change.new))]
    parts = [
        f"# Backtest of {name}",
        "",
        summary(found),
        "## Alerts per clinician and week",
        "",
        MOVED,
        "",
        *_weeks(alerts),
        "",
    ]
    parts += ["## The episodes", "", *_episodes(alerts, _judged(found)), ""]
    parts += ["## What clinicians said of the alerts they had", "", *_precision(found), ""]
    return "\n".join(parts)


def table(found: Backtest) -> str:
    """Each episode in a row, those that are only worth watching too."""
    judged = _judged(found)
    to = StringIO()
    rows = csv.writer(to, lineterminator="\n")
    rows.writerow(COLUMNS)
    for change in sorted(found.changes, key=_order):
        rows.writerow(_row(change, judged))
    return to.getvalue()


def _row(change: Change, judged: dict[UUID, bool | None]) -> Iterator[object]:
    shown, useful = change.shown, _useful(change, judged)
    yield change.kind
    yield shown.clinician or ""
    yield shown.week[1]
    yield shown.relationship
    yield shown.episode
    yield change.old.severity if change.old else ""
    yield change.new.severity if change.new else ""
    yield change.old.at.isoformat() if change.old else ""
    yield change.new.at.isoformat() if change.new else ""
    yield " ".join(shown.detectors)
    yield "" if useful is None else "yes" if useful else "no"


def _weeks(alerts: Iterable[Change]) -> Iterator[str]:
    """A row for each week in which either policy raises anything."""
    behind: defaultdict[Week, dict[str, list[Raised]]] = defaultdict(lambda: {"old": [], "new": [], "+": [], "−": []})
    for change in alerts:
        if change.old is not None and change.old.interrupts:
            behind[change.old.week]["old"].append(change.old)
            if change.kind == "no longer raised":
                behind[change.old.week]["−"].append(change.old)
        if change.new is not None and change.new.interrupts:
            behind[change.new.week]["new"].append(change.new)
            if change.kind == "raised":
                behind[change.new.week]["+"].append(change.new)
    yield "| clinician | week | in force | new policy | newly | no longer | episodes in force | episodes, new policy |"
    yield "|---|---|---:|---:|---:|---:|---|---|"
    for (clinician, week), own in sorted(behind.items(), key=lambda item: (str(item[0][0]), item[0][1])):
        counts = " | ".join(str(len(own[of])) for of in ("old", "new", "+", "−"))
        yield f"| {clinician or 'unknown'} | {week} | {counts} | {_ids(own['old'])} | {_ids(own['new'])} |"


def _episodes(alerts: Iterable[Change], judged: dict[UUID, bool | None]) -> Iterator[str]:
    yield "| change | episode | relationship | in force | new policy | signs | useful |"
    yield "|---|---|---|---|---|---|---|"
    for change in sorted(alerts, key=_order):
        shown, useful = change.shown, _useful(change, judged)
        yield (
            f"| {change.kind} | {shown.episode} | {shown.relationship} | {_when(change.old)} | {_when(change.new)} "
            f"| {', '.join(shown.detectors)} | {'' if useful is None else 'yes' if useful else 'no'} |"
        )


def _precision(found: Backtest) -> Iterator[str]:
    counted = precision(found.judgements)
    if not counted:
        yield "Nobody has said of an alert whether it was useful."
        return
    yield "An alert counts for every detector that took part in it."
    yield ""
    yield "| policy | detector | useful | not useful | unsaid | share useful |"
    yield "|---|---|---:|---:|---:|---:|"
    for each in counted:
        share = "" if each.share is None else f"{each.share:.0%}"
        yield (f"| {each.policy} | {each.detector} | {each.useful} | {each.not_useful} | {each.unsaid} | {share} |")


def _judged(found: Backtest) -> dict[UUID, bool | None]:
    return {judgement.episode: judgement.useful for judgement in found.judgements}


def _useful(change: Change, judged: dict[UUID, bool | None]) -> bool | None:
    said = [judged.get(raised.episode) for raised in (change.old, change.new) if raised]
    return next((useful for useful in said if useful is not None), None)


def _watched(raised: Iterable[Raised | None]) -> int:
    return sum(one is not None and not one.interrupts for one in raised)


def _order(change: Change) -> tuple[str, str, str]:
    shown = change.shown
    return str(shown.clinician), shown.at.isoformat(), str(shown.episode)


def _when(raised: Raised | None) -> str:
    return f"{raised.severity}, {raised.at:%Y-%m-%d}" if raised else ""


def _ids(raised: Iterable[Raised]) -> str:
    return ", ".join(str(one.episode)[:8] for one in raised)
