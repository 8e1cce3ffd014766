"""The metrics of the audit."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal, get_args

from prometheus_client import CollectorRegistry

from shared.audit.line import AuditLine
from shared.runtime.metric_specs import CounterSpec, GaugeSpec, HistogramSpec

LineKind = Literal["change", "read"]
"""Whether a line came from a changed document or from the spool."""

LINES_CHAINED = CounterSpec(
    "attune_audit_lines_chained", "Audit lines moved into their chains, by kind.", {"kind": get_args(LineKind)}
)
WAIT_SECONDS = HistogramSpec(
    "attune_audit_wait_seconds",
    "Time from a request until its audit line was in its chain.",
    buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600),
)
OLDEST_WAITING_SECONDS = GaugeSpec(
    "attune_audit_oldest_waiting_seconds", "Age of the oldest audit line that is not in its chain; 0 if there is none."
)
SPOOL_BYTES = GaugeSpec("attune_audit_spool_bytes", "Size of the lines of reads that this process has not chained yet.")
HEAD_LINES = GaugeSpec(
    "attune_audit_head_lines",
    "Sum of the last sequences of all chains. It never falls, unless lines were removed from the end of a chain. "
    "Every process reports the same value.",
)
TRUNCATIONS = CounterSpec("attune_audit_truncations", "How often a chain was found with lines missing at its end.")


class AuditMetrics:
    """Metrics of the lines that wait, and of the chains."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lines_chained = LINES_CHAINED.create(registry)
        self._wait_seconds = WAIT_SECONDS.create(registry)
        self._oldest_waiting_seconds = OLDEST_WAITING_SECONDS.create(registry)
        self._spool_bytes = SPOOL_BYTES.create(registry)
        self._head_lines = HEAD_LINES.create(registry)
        self._truncations = TRUNCATIONS.create(registry)

    def count_chained(self, kind: LineKind, lines: Iterable[AuditLine], now: datetime) -> None:
        for line in lines:
            self._lines_chained.labels(kind).inc()
            self._wait_seconds.observe(max(0.0, (now - line.at).total_seconds()))

    def set_waiting(self, oldest_age: timedelta, spool_bytes: int) -> None:
        self._oldest_waiting_seconds.set(max(0.0, oldest_age.total_seconds()))
        self._spool_bytes.set(spool_bytes)

    def set_head_lines(self, count: int) -> None:
        self._head_lines.set(count)

    def count_truncation(self) -> None:
        self._truncations.inc()
