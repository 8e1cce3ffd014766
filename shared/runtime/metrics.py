"""Metrics that every process shows: its build and its resource usage."""

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

VERSION = "0.1.0"
"""As in pyproject.toml, which no image contains; a test compares the two."""


def process_registry() -> CollectorRegistry:
    """The registry of one process. Its metrics begin with `attune_`, `process_` or `python_`."""
    # The creation time of each series would double their number, and nobody needs it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Info("attune_build", "1; the labels identify the running build.", registry=registry).info({"version": VERSION})
    return registry
