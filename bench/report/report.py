"""Writes docs/performance.md and its picture from the stored results."""

import json
from collections.abc import Callable, Mapping

from bench.benchmarks import PICTURES_DIR, Figures
from bench.report.capacity import capacity_section
from bench.report.comparison import comparison_section, plot_comparison
from bench.report.criteria import criteria_table
from bench.report.latency import latency_section
from bench.report.profile import profile_section
from bench.report.rebuild import rebuild_section
from bench.report.scaling import growth_section, history_section, processes_section
from bench.runner import REPOSITORY

REPORT = REPOSITORY / "docs" / "performance.md"
RESULTS = PICTURES_DIR / "measured.json"


SECTIONS: Mapping[str, Callable[[Figures], str]] = {
    "comparison": comparison_section,
    "profile": profile_section,
    "rebuild": rebuild_section,
    "growth": growth_section,
    "history": history_section,
    "processes": processes_section,
    "latency": latency_section,
}
"""The section of each benchmark, in the order of the report."""


def write_report() -> None:
    """Write the report of all benchmarks measured so far; it names those that are missing."""
    results: Figures = json.loads(RESULTS.read_text())
    sections = [
        render(results) if name in results else _not_measured_section(name) for name, render in SECTIONS.items()
    ]
    if "comparison" in results:
        plot_comparison(results["comparison"])
        sections.append(capacity_section(results))
    REPORT.write_text("\n\n".join([_introduction(results), *sections]).strip() + "\n")


def _not_measured_section(name: str) -> str:
    return f"## Not measured: {name}\n\n`python -m bench {name}` measures it and writes it here."


def _introduction(results: Figures) -> str:
    return f"""\
<!-- Written by `python -m bench`; not by hand. -->
# Performance: speed, the cost of the guarantees, and capacity

The alliance service, one process with all its guarantees, is compared with other implementations of the same work: read
each event, store it, fold it into the state of its relationship, write the state, publish the derived events. All
handle the same bytes, in turns, each with its own Kafka and MongoDB that start with the same data. Everything runs on
one machine with two cores. **Compare numbers only within one table**: the times are from that machine on that day, and
it had other work. CPU time per event is steadier than events per second. `docs/adr/0011-speed.md` says what each
optimization gained.

## Criteria

{criteria_table(results)}"""
