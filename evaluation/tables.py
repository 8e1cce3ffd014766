"""The figures of a trial as tables in Markdown."""

from collections.abc import Iterable, Sequence

import numpy as np

from evaluation.criteria import Bar, averaged, interval
from evaluation.relationships import Flags
from evaluation.settings import KINDS, Evaluation, Run
from evaluation.trial import ALL, DIRECT, METHODS, ORACLE, OWN_MEAN, TOTAL, Found, World

SHOWN = (ORACLE, OWN_MEAN, TOTAL, ALL, DIRECT)
"""The methods that are told apart further."""


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def bars(criteria: Sequence[Bar], declared_misses: dict[str, str]) -> str:
    """Every bar with its value, its interval and whether it is reached."""
    return table(["bar", "value", "interval", "reached"], [_bar(criterion, declared_misses) for criterion in criteria])


def _bar(criterion: Bar, declared_misses: dict[str, str]) -> list[str]:
    format_value = (lambda v: f"{100 * v:.0f}%") if criterion.percent else (lambda v: f"{100 * v:+.1f} points")
    interval_text = (
        f"{format_value(criterion.low)} to {format_value(criterion.high)}" if criterion.low < criterion.high else ""
    )
    met_text = "yes" if criterion.reached else "no: " + declared_misses.get(criterion.key, "**not declared**")
    return [criterion.says, format_value(criterion.value), interval_text, met_text]


def methods(results: Sequence[World], run: Run) -> str:
    """What each method finds and costs, averaged over the worlds that count."""
    counting_results = [result for result in results if result.place.counts]
    header = ["method", "V, step, slide", "all kinds", "at once", "within 1", "within 2", "within 3", "before drop-out"]
    header += ["median delay", "falsely alarmed", "precision", "alerts a week", "at 1.5 false onsets"]
    return table(header, [_method(name, counting_results, run) for name in METHODS])


def _method(name: str, results: list[World], run: Run) -> list[str]:
    method_results = [result.found[name] for result in results]
    share, bootstrap = averaged(results, name, whole=True)
    low, high = interval(bootstrap)
    shares_by_delay = [
        float(np.mean([method_result.within[delay_limit].mean() for method_result in method_results]))
        for delay_limit in range(4)
    ]
    before_drop_out = np.mean([_before_drop_out(result, name) for result in results])
    delays = np.concatenate([method_result.delay for method_result in method_results])
    by_onsets = np.mean(
        [
            method_result.by_onsets[result.whole].mean()
            for method_result, result in zip(method_results, results, strict=True)
        ]
    )
    return [
        name,
        f"{percent(share)} ({100 * low:.0f}–{100 * high:.0f})",
        percent(averaged(results, name, whole=False)[0]),
        *[percent(delay_share) for delay_share in shares_by_delay],
        percent(float(before_drop_out)),
        f"{np.median(delays[np.isfinite(delays)]):.0f}",
        percent(float(np.mean([method_result.false_share for method_result in method_results]))),
        percent(float(np.mean([precision(method_result, run) for method_result in method_results]))),
        f"{np.mean([alerts_a_week(method_result, run) for method_result in method_results]):.2f}",
        percent(float(by_onsets)),
    ]


def _before_drop_out(result: World, name: str) -> float:
    """Of relationships that ended early after their onset, those in which an alarm had begun before."""
    truth = result.sets.ruptured.truth
    dropped_out = truth.last < result.sets.ruptured.seen.total.shape[1]
    return float(np.isfinite(result.found[name].delay[dropped_out]).mean())


def precision(method_result: Found, run: Run) -> float:
    """How many alarms are about a rupture, when this many relationships have one in sixteen sessions."""
    true_alarms = run.base_rate * np.isfinite(method_result.delay).mean()
    false_alarms = (
        run.base_rate * method_result.early_onsets + (1 - run.base_rate) * method_result.false_onsets * run.sessions
    )
    return float(true_alarms / max(true_alarms + false_alarms, 1e-9))


def alerts_a_week(method_result: Found, run: Run) -> float:
    """For a clinician with a full caseload and a session a week with each client."""
    return run.caseload * (run.base_rate * method_result.all_onsets + (1 - run.base_rate) * method_result.false_onsets)


def by_world(results: Sequence[World]) -> str:
    """V, step and slide found within two sessions, and in brackets the stable ones falsely alarmed."""
    rows = [
        [
            name,
            *[
                f"{percent(other_result.share(name))} ({100 * other_result.found[name].false_share:.0f})"
                for other_result in results
            ],
        ]
        for name in METHODS
    ]
    return table(["method", *[result.place.title for result in results]], rows)


def by_trait(results: Sequence[World]) -> str:
    """Found within two sessions by what the rupture and the relationship were like."""
    counting_results = [result for result in results if result.place.counts]
    header = ["ruptures", "how many", *SHOWN]
    rows = []
    for label, groups in _traits(counting_results):
        size = sum(int(group.sum()) for group in groups)
        hits = [
            np.concatenate(
                [
                    other_result.found[method].hits[members]
                    for other_result, members in zip(counting_results, groups, strict=True)
                ]
            )
            for method in SHOWN
        ]
        rows.append([label, str(size), *[percent(float(hit.mean())) if size else "" for hit in hits]])
    return table(header, rows)


def _traits(results: list[World]) -> list[tuple[str, list[Flags]]]:
    truths = [result.sets.ruptured.truth for result in results]
    missing_shares = [_missing(result) for result in results]
    mean_levels = [truth.expected.mean(axis=1) for truth in truths]
    groups: list[tuple[str, list[Flags]]] = [
        (kind, [truth.kind == kind_index for truth in truths]) for kind_index, kind in enumerate(KINDS)
    ]
    groups += [
        (
            f"{label}, V, step or slide",
            [
                other_result.whole & (truth.depth >= low) & (truth.depth < high)
                for other_result, truth in zip(results, truths, strict=True)
            ],
        )
        for label, low, high in (
            ("faint: under 1.5 spreads", 0.0, 1.5),
            ("middling: to 3", 1.5, 3.0),
            ("deep: beyond", 3.0, 9.0),
        )
    ]
    groups += [
        (f"onset in sessions {label}", [(truth.onset + 1 >= low) & (truth.onset + 1 <= high) for truth in truths])
        for label, low, high in (("1 to 3", 1, 3), ("4 to 8", 4, 8), ("9 and later", 9, 99))
    ]
    groups += [
        (f"forms missing: {label}", [(share >= low) & (share < high) for share in missing_shares])
        for label, low, high in (("under 15%", 0.0, 0.15), ("15 to 40%", 0.15, 0.4), ("more", 0.4, 1.1))
    ]
    groups += [
        (f"usual level {label}", [(mean_level >= low) & (mean_level < high) for mean_level in mean_levels])
        for label, low, high in (("under 80", -99.0, 80.0), ("80 to 95", 80.0, 95.0), ("95 and more", 95.0, 199.0))
    ]
    return groups


def _missing(result: World) -> np.ndarray:
    observations = result.sets.ruptured.seen
    held = observations.appointment == 0
    return (held & ~observations.answered).sum(axis=1) / held.sum(axis=1)


def thresholds(results: Sequence[World]) -> str:
    """Our thresholds, as the belief that there is a rupture."""
    rows = [
        [name, *[f"{1 / (1 + np.exp(-result.found[name].level)):.2f}" for result in results]]
        for name in (TOTAL, ALL, DIRECT)
    ]
    return table(["method", *[result.place.title for result in results]], rows)


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def undeclared(criteria: Sequence[Bar], evaluation: Evaluation) -> list[Bar]:
    """Bars that are missed without a reason in the settings."""
    return [criterion for criterion in criteria if not criterion.reached and criterion.key not in evaluation.missed]
