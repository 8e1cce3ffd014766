"""The results as tables in Markdown."""

from collections.abc import Iterable, Sequence

import numpy as np

from evaluation.criteria import CriterionResult, average_share, confidence_interval
from evaluation.relationships import BoolArray
from evaluation.settings import KINDS, EvaluationSettings, RunSettings
from evaluation.trial import ALL, DIRECT, METHODS, ORACLE, OWN_MEAN, TOTAL, MethodResult, WorldResult

SHOWN_METHODS = (ORACLE, OWN_MEAN, TOTAL, ALL, DIRECT)
"""The methods that the detailed tables and pictures show."""


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def criteria_table(criteria: Sequence[CriterionResult], declared_misses: dict[str, str]) -> str:
    """Every criterion with its value, its interval, and whether it is met."""
    return markdown_table(
        ["criterion", "value", "interval", "met"],
        [_criterion_row(criterion, declared_misses) for criterion in criteria],
    )


def _criterion_row(criterion: CriterionResult, declared_misses: dict[str, str]) -> list[str]:
    format_value = (lambda v: f"{100 * v:.0f}%") if criterion.is_percentage else (lambda v: f"{100 * v:+.1f} points")
    interval_text = (
        f"{format_value(criterion.low)} to {format_value(criterion.high)}" if criterion.low < criterion.high else ""
    )
    met_text = "yes" if criterion.is_met else "no: " + declared_misses.get(criterion.key, "**not declared**")
    return [criterion.statement, format_value(criterion.value), interval_text, met_text]


def methods_table(results: Sequence[WorldResult], run: RunSettings) -> str:
    """What each method finds and what it costs, averaged over the worlds that count."""
    counting_results = [result for result in results if result.world.counts_for_criteria]
    header = ["method", "V, step, slide", "all kinds", "at once", "within 1", "within 2", "within 3", "before drop-out"]
    header += ["median delay", "false alarms", "precision", "alerts per week", "at 1.5 false onsets"]
    return markdown_table(header, [_method_row(name, counting_results, run) for name in METHODS])


def _method_row(name: str, results: list[WorldResult], run: RunSettings) -> list[str]:
    method_results = [result.methods[name] for result in results]
    share, bootstrap = average_share(results, name, only_total_visible=True)
    low, high = confidence_interval(bootstrap)
    shares_by_delay = [
        float(np.mean([method_result.detected_within[delay_limit].mean() for method_result in method_results]))
        for delay_limit in range(4)
    ]
    before_drop_out = np.mean([_before_drop_out(result, name) for result in results])
    delays = np.concatenate([method_result.delay_sessions for method_result in method_results])
    by_onsets = np.mean(
        [
            method_result.detected_at_onset_budget[result.is_total_visible].mean()
            for method_result, result in zip(method_results, results, strict=True)
        ]
    )
    return [
        name,
        f"{percent(share)} ({100 * low:.0f}–{100 * high:.0f})",
        percent(average_share(results, name, only_total_visible=False)[0]),
        *[percent(delay_share) for delay_share in shares_by_delay],
        percent(float(before_drop_out)),
        f"{np.median(delays[np.isfinite(delays)]):.0f}",
        percent(float(np.mean([method_result.false_alarm_share for method_result in method_results]))),
        percent(float(np.mean([precision(method_result, run) for method_result in method_results]))),
        f"{np.mean([alerts_per_week(method_result, run) for method_result in method_results]):.2f}",
        percent(float(by_onsets)),
    ]


def _before_drop_out(result: WorldResult, name: str) -> float:
    """The share of the relationships with a drop-out in which an alarm began before it."""
    truth = result.samples.ruptured.truth
    dropped_out = truth.appointment_count < result.samples.ruptured.observations.total.shape[1]
    return float(np.isfinite(result.methods[name].delay_sessions[dropped_out]).mean())


def precision(method_result: MethodResult, run: RunSettings) -> float:
    """The share of alarms that are about a rupture, at the base rate of `run`."""
    true_alarms = run.rupture_base_rate * np.isfinite(method_result.delay_sessions).mean()
    false_alarms = (
        run.rupture_base_rate * method_result.early_onsets_per_relationship
        + (1 - run.rupture_base_rate) * method_result.false_onsets_per_session * run.sessions
    )
    return float(true_alarms / max(true_alarms + false_alarms, 1e-9))


def alerts_per_week(method_result: MethodResult, run: RunSettings) -> float:
    """The alerts of a clinician with a full caseload and one session a week with each client."""
    return run.caseload * (
        run.rupture_base_rate * method_result.onsets_per_session
        + (1 - run.rupture_base_rate) * method_result.false_onsets_per_session
    )


def worlds_table(results: Sequence[WorldResult]) -> str:
    """V, step and slide found within two sessions; in brackets, the stable relationships with a false alarm."""
    rows = [
        [
            name,
            *[
                f"{percent(result.detected_share(name))} ({100 * result.methods[name].false_alarm_share:.0f})"
                for result in results
            ],
        ]
        for name in METHODS
    ]
    return markdown_table(["method", *[result.world.title for result in results]], rows)


def traits_table(results: Sequence[WorldResult]) -> str:
    """The ruptures found within two sessions, by traits of the rupture and the relationship."""
    counting_results = [result for result in results if result.world.counts_for_criteria]
    header = ["ruptures", "how many", *SHOWN_METHODS]
    rows = []
    for label, groups in _trait_groups(counting_results):
        size = sum(int(group.sum()) for group in groups)
        hits = [
            np.concatenate(
                [
                    result.methods[method].detected[members]
                    for result, members in zip(counting_results, groups, strict=True)
                ]
            )
            for method in SHOWN_METHODS
        ]
        rows.append([label, str(size), *[percent(float(hit.mean())) if size else "" for hit in hits]])
    return markdown_table(header, rows)


def _trait_groups(results: list[WorldResult]) -> list[tuple[str, list[BoolArray]]]:
    truths = [result.samples.ruptured.truth for result in results]
    missing_shares = [_missing_share(result) for result in results]
    mean_levels = [truth.expected_total.mean(axis=1) for truth in truths]
    groups: list[tuple[str, list[BoolArray]]] = [
        (kind, [truth.kind == kind_index for truth in truths]) for kind_index, kind in enumerate(KINDS)
    ]
    groups += [
        (
            f"{label}, V, step or slide",
            [
                result.is_total_visible & (truth.depth >= low) & (truth.depth < high)
                for result, truth in zip(results, truths, strict=True)
            ],
        )
        for label, low, high in (
            ("faint: under 1.5 spreads", 0.0, 1.5),
            ("middling: to 3", 1.5, 3.0),
            ("deep: beyond", 3.0, 9.0),
        )
    ]
    groups += [
        (
            f"onset in sessions {label}",
            [(truth.onset_session + 1 >= low) & (truth.onset_session + 1 <= high) for truth in truths],
        )
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


def _missing_share(result: WorldResult) -> np.ndarray:
    observations = result.samples.ruptured.observations
    held = observations.appointment == 0
    return (held & ~observations.answered).sum(axis=1) / held.sum(axis=1)


def thresholds_table(results: Sequence[WorldResult]) -> str:
    """The thresholds of Attune's methods, as probabilities of a rupture."""
    rows = [
        [name, *[f"{1 / (1 + np.exp(-result.methods[name].threshold)):.2f}" for result in results]]
        for name in (TOTAL, ALL, DIRECT)
    ]
    return markdown_table(["method", *[result.world.title for result in results]], rows)


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def undeclared_misses(criteria: Sequence[CriterionResult], evaluation: EvaluationSettings) -> list[CriterionResult]:
    """The criteria that are missed without a reason in the settings."""
    return [
        criterion for criterion in criteria if not criterion.is_met and criterion.key not in evaluation.declared_misses
    ]
