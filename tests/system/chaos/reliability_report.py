"""Records the results of chaos runs as JSON files, and generates docs/reliability.md from all of them."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from tools.sandbox.servers.process import CACHE_FOLDER, PROJECT_ROOT, exclusive_lock

if TYPE_CHECKING:
    from tests.system.chaos.run import ChaosRun

RESULTS_FOLDER = PROJECT_ROOT / "docs" / "reliability"
REPORT_FILE = PROJECT_ROOT / "docs" / "reliability.md"
DEFECTS_FILE = RESULTS_FOLDER / "defects.json"

PLAIN_FIGURES = (
    "at",
    "minutes",
    "requests",
    "failed attempts",
    "relationships",
    "sessions",
    "answers",
    "e-mails",
    "webhooks",
)
"""Figures of a run that are shown unchanged."""

Summary = Mapping[str, Any]


def summarize(run: "ChaosRun", seconds: float, finished_at: datetime) -> Summary:
    """The figures of one run, as they are recorded."""
    recovery_seconds = [fault.recovery_seconds for fault in run.faults if fault.recovery_seconds is not None]
    return {
        "seed": run.seed,
        "at": finished_at.isoformat(timespec="seconds"),
        "minutes": round(seconds / 60, 1),
        "requests": run.ledger.request_counts["accepted"],
        "failed attempts": run.ledger.request_counts["retried"],
        "relationships": len(run.ledger.started_relationships),
        "sessions": run.ledger.session_count,
        "answers": run.ledger.answer_count,
        "e-mails": len(run.rig.received_emails),
        "webhooks": len(run.rig.received_webhooks),
        "faults": dict(sorted(Counter(f"{fault.target}: {fault.kind}" for fault in run.faults).items())),
        "points": len({(fault.kind, fault.target, fault.fault_point) for fault in run.faults if fault.fault_point}),
        "longest recovery": max(recovery_seconds, default=0.0),
        "median recovery": sorted(recovery_seconds)[len(recovery_seconds) // 2] if recovery_seconds else 0.0,
        "timeline": [
            {
                "fault": str(fault),
                "from": (fault.started_at - run.started_at).total_seconds(),
                "to": (fault.ended_at - run.started_at).total_seconds(),
                "recovered": fault.recovery_seconds,
            }
            for fault in run.faults
        ],
        "checks": [
            {"what": check.name, "holds": check.is_passed, "numbers": check.details} for check in run.checks.results
        ],
    }


def format_summary(summary: Summary) -> str:
    """The figures in a few lines."""
    faults = summary["faults"]
    return (
        f"{sum(faults.values())} faults of {len(faults)} kinds; {summary['requests']} requests accepted, "
        f"{summary['failed attempts']} failed attempts; {summary['relationships']} relationships, "
        f"{summary['sessions']} sessions, {summary['answers']} answers; {summary['e-mails']} e-mails, "
        f"{summary['webhooks']} webhooks; recovered within {summary['longest recovery']:.1f} s "
        f"(median {summary['median recovery']:.1f} s)"
    )


def record_run(summary: Summary) -> None:
    """Record a run and regenerate the report."""
    RESULTS_FOLDER.mkdir(exist_ok=True)
    with exclusive_lock(CACHE_FOLDER / "reliability.lock"):
        (RESULTS_FOLDER / f"seed-{summary['seed']}.json").write_text(json.dumps(summary, indent=1) + "\n")
        _write_report()


def record_defect(name: str, failed_checks: Sequence[str]) -> None:
    """Record the checks that detected a defect and regenerate the report."""
    RESULTS_FOLDER.mkdir(exist_ok=True)
    with exclusive_lock(CACHE_FOLDER / "reliability.lock"):
        results = json.loads(DEFECTS_FILE.read_text()) if DEFECTS_FILE.exists() else {}
        results[name] = list(failed_checks)
        DEFECTS_FILE.write_text(json.dumps(dict(sorted(results.items())), indent=1) + "\n")
        _write_report()


def _write_report() -> None:
    runs = [json.loads(file.read_text()) for file in sorted(RESULTS_FOLDER.glob("seed-*.json"))]
    defects = json.loads(DEFECTS_FILE.read_text()) if DEFECTS_FILE.exists() else {}
    REPORT_FILE.write_text(render_report(runs, defects))


INTRODUCTION = """\
# Reliability: nothing lost, nothing duplicated

`make chaos` generates this page from the runs recorded in `docs/reliability/`. Each run starts a real Kafka \
and MongoDB behind proxies, two processes of each service, and real SMTP and webhook receivers. Simulated \
clinics submit their sessions over the public HTTP APIs while faults are injected in an order drawn from a \
seed. At the end a checker that knows only the acknowledged requests compares them with the state of the \
system. `SEED=… make chaos` repeats the faults of a run, but not its exact timing."""

DEFECTS_INTRODUCTION = """\
`make chaos-defects` applies each patch in `tests/system/chaos/defects/` to a copy of the code, so that one \
guarantee is missing, and does a short run. The checker must detect every defect."""


def render_report(runs: Sequence[Summary], defects: Mapping[str, Sequence[str]]) -> str:
    """The text of docs/reliability.md."""
    lines = [
        INTRODUCTION,
        "",
        "## Runs",
        "",
        *_runs_table("| |", runs, _figure_rows(runs)),
        "",
        "## Faults",
        "",
        *_runs_table("| fault |", runs, _fault_rows(runs)),
        "",
        "## Checks",
        "",
        *_runs_table("| check |", runs, _check_rows(runs)),
        "",
        "## Deliberate defects",
        "",
        DEFECTS_INTRODUCTION,
        "",
        "| defect | detected by |",
        "|---|---|",
        *(_row(name.replace("-", " "), ["; ".join(failed) or "**nothing**"]) for name, failed in defects.items()),
        "",
    ]
    return "\n".join(lines)


def _runs_table(first_column: str, runs: Sequence[Summary], rows: Sequence[str]) -> list[str]:
    """A table with a column for each run."""
    header = f"{first_column} " + " | ".join(f"seed {run['seed']}" for run in runs) + " |"
    return [header, "|---|" + "---|" * len(runs), *rows]


def _fault_rows(runs: Sequence[Summary]) -> list[str]:
    kinds = _unique(run["faults"] for run in runs)
    return [_row(kind, [run["faults"].get(kind, 0) for run in runs]) for kind in kinds]


def _check_rows(runs: Sequence[Summary]) -> list[str]:
    names = _unique(_check_names(run) for run in runs)
    return [_row(name, [_verdict(run, name) for run in runs]) for name in names]


def _figure_rows(runs: Sequence[Summary]) -> list[str]:
    return [
        *(_row(name, [run[name] for run in runs]) for name in PLAIN_FIGURES),
        _row("faults", [sum(run["faults"].values()) for run in runs]),
        _row("different fault points hit", [run["points"] for run in runs]),
        _row("longest recovery, s", [f"{run['longest recovery']:.1f}" for run in runs]),
        _row("median recovery, s", [f"{run['median recovery']:.1f}" for run in runs]),
        _row("passed, failed", [_format_counts(run) for run in runs]),
    ]


def _format_counts(run: Summary) -> str:
    passed_count = sum(check["holds"] for check in run["checks"])
    return f"{passed_count} passed, {len(run['checks']) - passed_count} failed"


def _check_names(run: Summary) -> list[str]:
    return [check["what"] for check in run["checks"]]


def _verdict(run: Summary, check_name: str) -> str:
    for check in run["checks"]:
        if check["what"] == check_name:
            verdict = "passed" if check["holds"] else "**FAILED**"
            return f"{verdict}: {check['numbers']}" if check["numbers"] else verdict
    return ""


def _unique(names: Any) -> list[str]:
    """Each name once, in the order of its first occurrence."""
    return list(dict.fromkeys(name for group in names for name in group))


def _row(name: str, cells: Sequence[Any]) -> str:
    return f"| {name} | " + " | ".join(map(str, cells)) + " |"
