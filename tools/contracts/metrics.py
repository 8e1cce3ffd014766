"""The catalogue of every metric, docs/metrics.md, from the registries of the running code."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

HEADER = """\
# Metrics

Every number that Attune shows at `/metrics`, by who shows it; made by `make contracts` from the code. No label holds an
id, and none a person: what is shown may be seen by anybody who operates Attune. A histogram `x` is shown as `x_bucket`,
`x_sum` and `x_count`. What follows from these numbers, and who is called when, is in `deploy/prometheus/rules/`; how to
read them, in `deploy/grafana/dashboards/`.
"""
NAME_SUFFIXES = {"counter": "_total", "info": "_info"}
LIBRARY_PREFIXES = ("process_", "python_")
"""Shown by the library that all of us use, and explained there."""


@dataclass(frozen=True, order=True)
class MetricDescription:
    """One metric as it is shown."""

    name: str
    kind: str
    labels: tuple[str, ...]
    help_text: str


def describe_metrics(registry: CollectorRegistry) -> set[MetricDescription]:
    """Everything in a registry, also what has no value yet."""
    return {metric for collector in registry._collector_to_names for metric in _describe_collector(collector)}


def _describe_collector(collector: Any) -> Iterator[MetricDescription]:
    if isinstance(collector, MetricWrapperBase):
        yield _describe(collector._name, str(collector._type), collector._labelnames, collector._documentation)
        return
    for family in collector.describe() if hasattr(collector, "describe") else collector.collect():
        labels = {label: None for sample in family.samples for label in sample.labels}
        yield _describe(family.name, family.type, getattr(family, "_labelnames", labels), family.documentation)


def _describe(name: str, metric_type: str, labels: Iterable[str], help_text: str) -> MetricDescription:
    return MetricDescription(
        name.removesuffix("_total") + NAME_SUFFIXES.get(metric_type, ""), metric_type, tuple(labels), help_text
    )


def render_catalogue(registries: Mapping[str, CollectorRegistry]) -> str:
    """The document, by who shows what."""
    processes_by_metric: defaultdict[MetricDescription, list[str]] = defaultdict(list)
    for process, registry in registries.items():
        for metric in describe_metrics(registry):
            processes_by_metric[metric].append(process)
    groups: defaultdict[tuple[str, ...], list[MetricDescription]] = defaultdict(list)
    for metric, processes in processes_by_metric.items():
        groups[tuple(processes)].append(metric)
    all_processes = tuple(registries)
    ordered = sorted(groups, key=lambda group: (-len(group), [all_processes.index(process) for process in group]))
    return "\n".join([HEADER, *(_section(group, all_processes, groups[group]) for group in ordered)])


def _section(group: tuple[str, ...], all_processes: tuple[str, ...], metrics: Iterable[MetricDescription]) -> str:
    title = "Every process" if group == all_processes else ", ".join(group)
    rows = [
        f"| `{metric.name}` | {metric.kind} | {', '.join(f'`{label}`' for label in metric.labels)} | {metric.help_text} |"
        for metric in sorted(metrics)
        if not metric.name.startswith(LIBRARY_PREFIXES)
    ]
    library_names = sorted(f"`{metric.name}`" for metric in metrics if metric.name.startswith(LIBRARY_PREFIXES))
    library_note = (
        f"\nAnd what the library shows of any process: {', '.join(library_names)}.\n" if library_names else ""
    )
    return "\n".join(
        [f"## {title}\n", "| metric | type | labels | what it says |", "|---|---|---|---|", *rows, library_note]
    )
