"""Ours and the other implementations of the same work, side by side."""

from statistics import median

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.benchmarks import PICTURES_DIR, Figures
from bench.registry import LIMITATIONS, OURS
from bench.report.criteria import speed_ratio
from bench.report.markdown import markdown_table

mpl.use("svg")
mpl.rcParams.update({"svg.hashsalt": "attune", "svg.fonttype": "none", "font.size": 9, "axes.spines.top": False})
mpl.rcParams.update({"axes.spines.right": False, "figure.constrained_layout.use": True})

_COMPARISON_HEADER = (
    "implementation",
    "runs",
    "events/s",
    "range",
    "speed of ours relative to it",
    "own µs",
    "MongoDB µs",
    "Kafka µs",
    "MiB",
)


def comparison_section(results: Figures) -> str:
    figures = results["comparison"]
    limitations = "\n".join(
        f"- **{name}**: {limitation}"
        for name, limitation in LIMITATIONS.items()
        if limitation and name in figures["runs"]
    )
    failed = "".join(f"\n- **{name}** failed and was left out: {reason}." for name, reason in figures["failed"].items())
    backlog, relationships, rounds = figures["backlog"], figures["relationships"], len(figures["runs"][OURS])
    return f"""\
## Comparison

{backlog:,} events of {relationships:,} relationships are on twelve partitions. A run ends when all are handled or when
its time is over; slow implementations have less time. There are {rounds} rounds in alternating order, and the relative
speed is the median over the rounds. Measured on {figures["on"]}.

{_comparison_table(figures)}

![Events per second](performance/comparison.svg)

What the others cannot do, or need our code for:

{limitations}{failed}

The other frameworks run in an environment of their own (`deploy/lock/bench.txt`), with the pydantic version that they
allow. The progress of those that do not commit after each batch is counted by the events that they stored. Storing is
the first step of the work, so that is in their favour."""


def _comparison_table(figures: Figures) -> str:
    rows = []
    for name, runs in figures["runs"].items():
        rates = sorted(run["rate"] for run in runs)
        spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}" if len(rates) > 1 else ""
        medians = [f"{median(run[measure] for run in runs):,.0f}" for measure in ("own", "mongodb", "kafka", "memory")]
        rows.append(
            (name, str(len(rates)), f"{median(rates):,.0f}", spread, f"{speed_ratio(figures, name):.2f}", *medians)
        )
    return markdown_table(_COMPARISON_HEADER, rows)


def plot_comparison(figures: Figures) -> None:
    """Draw the events per second of each implementation."""
    runs = figures["runs"]
    figure, axis = plt.subplots(figsize=(7, 3))
    for row, name in enumerate(reversed(runs)):
        rates = sorted(run["rate"] for run in runs[name])
        axis.barh(row, median(rates), color="#2a9d6f" if name == OURS else "#c9c9c9")
        axis.plot([rates[0], rates[-1]], [row, row], color="#222222", linewidth=1.2)
    axis.set_yticks(range(len(runs)), list(reversed(runs)))
    axis.set_xlabel("events per second, median and spread")
    figure.savefig(PICTURES_DIR / "comparison.svg", metadata={"Date": None})
    plt.close(figure)
