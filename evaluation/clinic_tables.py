"""What a clinic would notice, as tables in Markdown: alerts, probabilities, long courses and adaptation."""

from collections.abc import Sequence

import numpy as np

from evaluation import alerting, long_run
from evaluation.adaptation import Repeat
from evaluation.alerting import Alerts
from evaluation.attune import CONCERN, SHIPPED_BASE_RATE, URGENT
from evaluation.long_run import LongRun
from evaluation.measured import Results, mean, of_asking
from evaluation.measures import Estimate, ratio
from evaluation.oracle_bars import URGENT_BASE_RATE, oracle_urgent
from evaluation.oracles import ORACLE_OF_CLIENT_WITH_BEHAVIOUR, ORACLE_WITH_BEHAVIOUR
from evaluation.published import Comparison
from evaluation.reliability import BINS, recalibrate
from evaluation.settings import ASKED_LAWS, ASKINGS, RunSettings
from evaluation.tables import markdown_table, percent, with_interval
from evaluation.trial import BASE_RATES, WorldTrial

ALERT_BASE_RATES = (0.05, 0.15, 0.30)  # at which right alerts are counted; probabilities are measured at BASE_RATES
URGENT_THRESHOLDS = tuple(np.arange(0.30, 0.91, 0.05).round(2).tolist())  # shown next to the shipped one
SEVERITIES = {"concern or urgent": CONCERN, "urgent": URGENT}


def precision_at(results: Results, asking: str, severity: int, base_rate: float) -> Estimate:
    """The share of alerts that are right, averaged over worlds."""
    return mean(
        alerting.precision(trial, alerting.alerts_of(trial, asking, severity), base_rate) for trial in results.trials
    )


def precision_table(results: Results, run: RunSettings) -> str:
    """How many alerts are right, and how many a clinician gets."""
    rows = []
    for asking in ASKINGS:
        for name, severity in SEVERITIES.items():
            alerts = [(trial, alerting.alerts_of(trial, asking, severity)) for trial in results.trials]
            cells = []
            for base_rate in ALERT_BASE_RATES:
                right = with_interval(precision_at(results, asking, severity, base_rate))
                weekly = mean(alerting.alerts_per_appointment(*of_trial, base_rate) for of_trial in alerts)
                cells += [right, f"{run.caseload * weekly[0]:.2f}"]
            rows.append([f"{name}, {of_asking(asking)}", *cells])
    header = ["alerts"]
    for base_rate in ALERT_BASE_RATES:
        header += [f"right at {100 * base_rate:.0f}%", "a week"]
    return markdown_table(header, rows)


def urgent_table(results: Results) -> str:
    """Urgent alerts as shipped, and if they began at another probability."""
    rows = [
        _urgent_row("as shipped", [_shipped(results, law) for law in ASKED_LAWS]),
        _urgent_row("the oracle of the client", [_of_oracle(results, law) for law in ASKED_LAWS]),
    ]
    rows += [
        _urgent_row(f"{threshold:.2f}", [_at_threshold(results, law, threshold) for law in ASKED_LAWS])
        for threshold in URGENT_THRESHOLDS
    ]
    header = ["from probability"]
    for law in ASKED_LAWS:
        header += [f"right, {of_asking(law)}", "deep ruptures reached"]
    return markdown_table(header, rows)


_TrialAlerts = list[tuple[WorldTrial, Alerts]]


def _shipped(results: Results, law: str) -> _TrialAlerts:
    return [(trial, alerting.alerts_of(trial, law, URGENT)) for trial in results.trials]


def _of_oracle(results: Results, law: str) -> _TrialAlerts:
    return list(zip(results.trials, oracle_urgent(results, law)[1], strict=True))


def _at_threshold(results: Results, law: str, threshold: float) -> _TrialAlerts:
    return [(trial, alerting.urgent_alerts_at(trial, law, threshold)) for trial in results.trials]


def _urgent_row(name: str, by_law: list[_TrialAlerts]) -> list[str]:
    cells = []
    for alerts in by_law:
        right = mean(alerting.precision(*of_trial, URGENT_BASE_RATE) for of_trial in alerts)
        reached = mean(alerting.share_of_deep_reached(*of_trial) for of_trial in alerts)
        cells += [with_interval(right), with_interval(reached)]
    return [name, *cells]


def calibration_table(results: Results) -> str:
    """The Brier skill and the largest distance above .5 in each world, what all worlds suggest, and the oracles."""
    rows = []
    for base_rate in BASE_RATES:
        for asking in ASKINGS:
            cells = []
            for trial in results.trials:
                reliability = results.reliabilities[trial.world.title, asking, base_rate]
                gap = "–" if reliability.worst_gap is None else f"{reliability.worst_gap[0]:.2f}"
                cells.append(f"{reliability.brier_skill[0]:.2f} / {gap}")
            offset, slope = recalibrate(results.trials, asking, base_rate)
            name = f"{100 * base_rate:.0f}%, {of_asking(asking)}"
            rows.append([name, f"{offset:+.2f} / {slope:.2f}", *cells])
            for oracle in (ORACLE_OF_CLIENT_WITH_BEHAVIOUR, ORACLE_WITH_BEHAVIOUR):
                skills = [results.skills[trial.world.title, asking, base_rate][oracle] for trial in results.trials]
                rows.append([f"{name}: {oracle}", "", *[f"{skill[0]:.2f}" for skill in skills]])
    titles = [trial.world.title for trial in results.trials]
    return markdown_table(["base rate", "offset / slope, all worlds", *titles], rows)


def reliability_table(results: Results) -> str:
    """What is said and what is so, in each tenth of probability, of all worlds together at the shipped base rate."""
    rows = []
    for asking in ASKINGS:
        parts = [results.reliabilities[trial.world.title, asking, SHIPPED_BASE_RATE] for trial in results.trials]
        count = sum(part.count for part in parts)
        said, was = (
            sum(np.nan_to_num(getattr(part, name)[0]) * part.count for part in parts)
            for name in ("predicted", "observed")
        )
        said, was = (ratio(np.asarray(values), np.asarray(count)) for values in (said, was))
        cells = [f"{said[i]:.2f} / {was[i]:.2f}" if np.asarray(count)[i] >= 1 else "–" for i in range(BINS)]
        rows.append([of_asking(asking), *cells])
    return markdown_table(["said / was so", *[f"{i / BINS:.1f}–{(i + 1) / BINS:.1f}" for i in range(BINS)]], rows)


def long_table(runs: Sequence[LongRun]) -> str:
    """False messages over time, and level shifts, in each world."""
    rows = []
    for run in runs:
        early, late = long_run.false_message_rates(run.stable)
        rows.append(
            [
                run.world.title,
                f"{100 * early[0]:.1f}",
                f"{100 * late[0]:.1f}",
                *[_stuck_at(run, points) for points in shift_points(runs)],
                *_later_concern(run),
                *_deep_rupture(run),
            ]
        )
    header = ["world", "false messages per 100, sessions 2 to 16", "later"]
    header += [f"stuck after {points / 10:+.0f} points of ten" for points in shift_points(runs)]
    header += ["of concern 12 weeks after a shift", "without it", "deep rupture messaged after a shift", "without it"]
    return markdown_table(header, rows)


def shift_points(runs: Sequence[LongRun]) -> list[float]:
    return sorted({float(points) for run in runs for points in run.shift.relationships.truth.course.shift_points})


def _stuck_at(run: LongRun, points: float) -> str:
    is_counted = run.shift.relationships.truth.course.shift_points == points
    return percent(float(run.shift.resamples.share(long_run.is_stuck(run.shift), is_counted)[0]))


def _later_concern(run: LongRun) -> list[str]:
    shift = run.shift_and_rupture.relationships.truth.course.shift_session
    shares = (long_run.is_of_concern_later(part, shift).mean() for part in (run.shift_and_rupture, run.rupture))
    return [percent(float(share)) for share in shares]


def _deep_rupture(run: LongRun) -> list[str]:
    return [percent(float(long_run.is_messaged(part).mean())) for part in (run.shift_and_rupture, run.rupture)]


def episodes_table(runs: Sequence[LongRun]) -> str:
    """How long episodes of concern are open, and how they end, in each world."""
    rows = []
    for run in runs:
        counts = long_run.count_episodes(run.mixed)
        ended = len(counts.weeks_open)
        weeks = np.quantile(counts.weeks_open, (0.5, 0.9)) if ended else (np.nan, np.nan)
        endings = [percent(count / max(ended, 1)) for count in counts.endings.values()]
        early = percent(counts.repaired_early / max(counts.endings["repaired"], 1))
        total = str(ended + counts.still_open)
        rows.append([run.world.title, total, f"{weeks[0]:.0f}", f"{weeks[1]:.0f}", *endings, early])
    names = [*long_run.ENDINGS.values(), "other"]
    header = ["world", "episodes", "weeks open, median", "nine in ten", *names, "repaired too early, of the repaired"]
    return markdown_table(header, rows)


def state_bytes(runs: Sequence[LongRun]) -> tuple[float, float]:
    """The median and the 99th percentile of the size of a stored state."""
    median, high = np.quantile(np.concatenate([run.state_bytes for run in runs]), (0.5, 0.99))
    return float(median), float(high)


def adaptation_table(repeats: Sequence[Repeat]) -> str:
    """False alarms before and after the adaptation to 200 relationships, in each world."""
    rows = []
    for world in dict.fromkeys(repeat.world for repeat in repeats):
        of_world = [repeat for repeat in repeats if repeat.world == world]
        shipped, adapted, concern = (
            [getattr(repeat, name) for repeat in of_world] for name in ("shipped", "adapted", "concern")
        )
        span = f"{percent(min(adapted))} to {percent(max(adapted))}"
        means = [percent(float(np.mean(shares))) for shares in (shipped, adapted)]
        rows.append([world, str(len(of_world)), *means, span, f"{np.mean(concern):.2f}"])
    return markdown_table(["world", "clinics", "shipped", "adapted", "from, to", "threshold of concern"], rows)


def published_table(comparisons: Sequence[Comparison]) -> str:
    """Published figures, and what the papers' own rules find in each world."""
    names = list(dict.fromkeys(comparison.figure.name for comparison in comparisons))
    worlds = list(dict.fromkeys(comparison.world for comparison in comparisons))
    cells = {(comparison.figure.name, comparison.world): comparison for comparison in comparisons}
    figures = {comparison.figure.name: comparison.figure for comparison in comparisons}
    rows = [
        [
            f"{name} ({figures[name].source})",
            _number(figures[name].published),
            *[_comparison(cells[name, world]) for world in worlds],
        ]
        for name in names
    ]
    return markdown_table(["figure", "published", *worlds], rows)


def _comparison(comparison: Comparison) -> str:
    text = f"{_number(comparison.value)} ({_number(comparison.low)}–{_number(comparison.high)})"
    return text if comparison.holds else f"{text} misses"


def _number(value: float) -> str:
    return f"{value:.2f}".removeprefix("0")
