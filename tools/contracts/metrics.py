"""The catalogue of all metrics, docs/metrics.md, generated from the registries of the running code."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

HEADER = """\
# Metrics

All metrics that Attune exports at `/metrics`, by process; generated from the code by `make contracts`. No label
contains an id or refers to a person: anybody who operates Attune may read them. A histogram `x` is exported as
`x_bucket`, `x_sum` and `x_count`. The alerts based on these metrics are in `deploy/prometheus/rules/`, the dashboards
in `deploy/grafana/dashboards/`.
"""
NAME_SUFFIXES = {"counter": "_total", "info": "_info"}
LIBRARY_PREFIXES = ("process_", "python_")
"""Metrics that prometheus_client exports, and documents."""


@dataclass(frozen=True, order=True)
class MetricDescription:
    """One metric as exported."""

    name: str
    metric_type: str
    labels: tuple[str, ...]
    help_text: str


def describe_metrics(registry: CollectorRegistry) -> set[MetricDescription]:
    """All metrics in a registry, including those without a value yet."""
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
    """The catalogue, grouped by the processes that export a metric."""
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
        f"| `{metric.name}` | {metric.metric_type} | {_code_list(metric.labels)} | {metric.help_text} |"
        for metric in sorted(metrics)
        if not metric.name.startswith(LIBRARY_PREFIXES)
    ]
    library_names = sorted(f"`{metric.name}`" for metric in metrics if metric.name.startswith(LIBRARY_PREFIXES))
    library_note = f"\nFrom the Prometheus client library: {', '.join(library_names)}.\n" if library_names else ""
    return "\n".join(
        [f"## {title}\n", "| metric | type | labels | description |", "|---|---|---|---|", *rows, library_note]
    )


def _code_list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
