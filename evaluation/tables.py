"""The figures of a trial as tables in Markdown."""

from collections.abc import Iterable, Sequence

import numpy as np

from evaluation.criteria import Bar, averaged, interval
from evaluation.relationships import Flags
from evaluation.settings import KINDS, Evaluation, Run
from evaluation.trial import ALL, DIRECT, METHODS, ORACLE, OWN_MEAN, TOTAL, Found, World

SHOWN = (ORACLE, OWN_MEAN, TOTAL, ALL, DIRECT)
"""The methods that are told apart further."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bars(judged: Sequence[Bar], declared: dict[str, str]) -> str:
    """Every bar with its value, its interval and whether it is reached."""
    return table(["bar", "value", "interval", "reached"], [_bar(bar, declared) for bar in judged])


def _bar(bar: Bar, declared: dict[str, str]) -> list[str]:
    say = (lambda v: f"{100 * v:.0f}%") if bar.percent else (lambda v: f"{100 * v:+.1f} points")
    between = f"{say(bar.low)} to {say(bar.high)}" if bar.low < bar.high else ""
    reached = "yes" if bar.reached else "no: " + declared.get(bar.key, "**not declared**")
    return [bar.says, say(bar.value), between, reached]


def methods(worlds: Sequence[World], run: Run) -> str:
    """What each method finds and costs, averaged over the worlds that count."""
    counting = [world for world in worlds if world.place.counts]
    head = ["method", "V, step, slide", "all kinds", "at once", "within 1", "within 2", "within 3", "before drop-out"]
    head += ["median delay", "falsely alarmed", "precision", "alerts a week", "at 1.5 false onsets"]
    return table(head, [_method(name, counting, run) for name in METHODS])


def _method(name: str, worlds: list[World], run: Run) -> list[str]:
    each = [world.found[name] for world in worlds]
    whole, resampled = averaged(worlds, name, whole=True)
    low, high = interval(resampled)
    within = [float(np.mean([f.within[k].mean() for f in each])) for k in range(4)]
    left = np.mean([_before_drop_out(world, name) for world in worlds])
    delays = np.concatenate([f.delay for f in each])
    by_onsets = np.mean([f.by_onsets[world.whole].mean() for f, world in zip(each, worlds, strict=True)])
    return [
        name,
        f"{percent(whole)} ({100 * low:.0f}–{100 * high:.0f})",
        percent(averaged(worlds, name, whole=False)[0]),
        *[percent(share) for share in within],
        percent(float(left)),
        f"{np.median(delays[np.isfinite(delays)]):.0f}",
        percent(float(np.mean([f.false_share for f in each]))),
        percent(float(np.mean([precision(f, run) for f in each]))),
        f"{np.mean([alerts_a_week(f, run) for f in each]):.2f}",
        percent(float(by_onsets)),
    ]


def _before_drop_out(world: World, name: str) -> float:
    """Of relationships that ended early after their onset, those in which an alarm had begun before."""
    truth = world.sets.ruptured.truth
    left = truth.last < world.sets.ruptured.seen.total.shape[1]
    return float(np.isfinite(world.found[name].delay[left]).mean())


def precision(found: Found, run: Run) -> float:
    """How many alarms are about a rupture, when this many relationships have one in sixteen sessions."""
    true = run.base_rate * np.isfinite(found.delay).mean()
    false = run.base_rate * found.early_onsets + (1 - run.base_rate) * found.false_onsets * run.sessions
    return float(true / max(true + false, 1e-9))


def alerts_a_week(found: Found, run: Run) -> float:
    """For a clinician with a full caseload and a session a week with each client."""
    return run.caseload * (run.base_rate * found.all_onsets + (1 - run.base_rate) * found.false_onsets)


def by_world(worlds: Sequence[World]) -> str:
    """V, step and slide found within two sessions, and in brackets the stable ones falsely alarmed."""
    rows = [
        [name, *[f"{percent(w.share(name))} ({100 * w.found[name].false_share:.0f})" for w in worlds]]
        for name in METHODS
    ]
    return table(["method", *[world.place.title for world in worlds]], rows)


def by_trait(worlds: Sequence[World]) -> str:
    """Found within two sessions by what the rupture and the relationship were like."""
    counting = [world for world in worlds if world.place.counts]
    head = ["ruptures", "how many", *SHOWN]
    rows = []
    for label, groups in _traits(counting):
        size = sum(int(group.sum()) for group in groups)
        hits = [np.concatenate([w.found[n].hits[g] for w, g in zip(counting, groups, strict=True)]) for n in SHOWN]
        rows.append([label, str(size), *[percent(float(hit.mean())) if size else "" for hit in hits]])
    return table(head, rows)


def _traits(worlds: list[World]) -> list[tuple[str, list[Flags]]]:
    truths = [world.sets.ruptured.truth for world in worlds]
    missing = [_missing(world) for world in worlds]
    level = [t.expected.mean(axis=1) for t in truths]
    groups: list[tuple[str, list[Flags]]] = [(kind, [t.kind == k for t in truths]) for k, kind in enumerate(KINDS)]
    groups += [
        (
            f"{label}, V, step or slide",
            [w.whole & (t.depth >= low) & (t.depth < high) for w, t in zip(worlds, truths, strict=True)],
        )
        for label, low, high in (
            ("faint: under 1.5 spreads", 0.0, 1.5),
            ("middling: to 3", 1.5, 3.0),
            ("deep: beyond", 3.0, 9.0),
        )
    ]
    groups += [
        (f"onset in sessions {label}", [(t.onset + 1 >= low) & (t.onset + 1 <= high) for t in truths])
        for label, low, high in (("1 to 3", 1, 3), ("4 to 8", 4, 8), ("9 and later", 9, 99))
    ]
    groups += [
        (f"forms missing: {label}", [(m >= low) & (m < high) for m in missing])
        for label, low, high in (("under 15%", 0.0, 0.15), ("15 to 40%", 0.15, 0.4), ("more", 0.4, 1.1))
    ]
    groups += [
        (f"usual level {label}", [(own >= low) & (own < high) for own in level])
        for label, low, high in (("under 80", -99.0, 80.0), ("80 to 95", 80.0, 95.0), ("95 and more", 95.0, 199.0))
    ]
    return groups


def _missing(world: World) -> np.ndarray:
    seen = world.sets.ruptured.seen
    held = seen.appointment == 0
    return (held & ~seen.answered).sum(axis=1) / held.sum(axis=1)


def thresholds(worlds: Sequence[World]) -> str:
    """Our thresholds, as the belief that there is a rupture."""
    rows = [
        [name, *[f"{1 / (1 + np.exp(-world.found[name].level)):.2f}" for world in worlds]]
        for name in (TOTAL, ALL, DIRECT)
    ]
    return table(["method", *[world.place.title for world in worlds]], rows)


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def undeclared(judged: Sequence[Bar], evaluation: Evaluation) -> list[Bar]:
    """Bars that are missed without a reason in the settings."""
    return [bar for bar in judged if not bar.reached and bar.key not in evaluation.missed]
