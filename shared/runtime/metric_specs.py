"""Metrics declared as data: each is one row of a table, and one line creates it in a registry."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

Labels = Mapping[str, Sequence[str] | None]
"""The values that each label can have; None where they are not known in advance."""

M = TypeVar("M", Counter, Gauge, Histogram)


@dataclass(frozen=True)
class CounterSpec:
    """A number that only grows. Prometheus shows it as `<name>_total`."""

    name: str
    help: str
    labels: Labels = field(default_factory=dict)

    def create(self, registry: CollectorRegistry) -> Counter:
        return _with_all_series(Counter(self.name, self.help, list(self.labels), registry=registry), self.labels)


@dataclass(frozen=True)
class GaugeSpec:
    """A number that rises and falls."""

    name: str
    help: str
    labels: Labels = field(default_factory=dict)

    def create(self, registry: CollectorRegistry) -> Gauge:
        return _with_all_series(Gauge(self.name, self.help, list(self.labels), registry=registry), self.labels)


@dataclass(frozen=True)
class HistogramSpec:
    """A distribution. `buckets` are upper bounds in the unit that the name ends with."""

    name: str
    help: str
    labels: Labels = field(default_factory=dict)
    buckets: Sequence[float] = Histogram.DEFAULT_BUCKETS

    def create(self, registry: CollectorRegistry) -> Histogram:
        histogram = Histogram(self.name, self.help, list(self.labels), registry=registry, buckets=self.buckets)
        return _with_all_series(histogram, self.labels)


def _with_all_series(metric: M, labels: Labels) -> M:
    """Start every series at 0, so that the first event shows as an increase."""
    values = [known for known in labels.values() if known is not None]
    if labels and len(values) == len(labels):
        for combination in product(*values):
            metric.labels(*combination)
    return metric
