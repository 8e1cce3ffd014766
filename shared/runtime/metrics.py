"""What every process of ours shows of itself, whatever it does: which build it is, and what it takes."""

from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    Info,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

VERSION = "0.1.0"
"""As in pyproject.toml, which no image has; a test holds the two together."""


def process_registry() -> CollectorRegistry:
    """The registry of one process. Its metrics begin with `attune_`, `process_` or `python_`."""
    # When each series began doubles their number, and answers no question of ours.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    Info("attune_build", "1; its labels say which build runs.", registry=registry).info({"version": VERSION})
    return registry
