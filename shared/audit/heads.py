"""The heads of all chains, written down where who can change the database cannot change them: log and metrics.

`verify-audit` compares a chain with a head from the log, which shows a removed end.
"""

import structlog

from shared.access.clinic_id import ClinicId
from shared.audit.chain import Head
from shared.audit.metrics import AuditMetrics
from shared.audit.store.protocol import AuditStore

log = structlog.get_logger()

REPORT_INTERVAL_SECONDS = 60.0


class HeadReporter:
    """Logs each head that has changed, and every chain that has become shorter."""

    def __init__(self, store: AuditStore, metrics: AuditMetrics) -> None:
        self._store = store
        self._metrics = metrics
        self._reported: dict[ClinicId, Head] = {}

    async def report(self) -> None:
        """Log and count the heads as they are now. Raises StoreUnavailable."""
        lines = 0
        for clinic in {*await self._store.list_clinics(), *self._reported}:
            heads = await self._store.find_heads(clinic)
            reported = self._reported.get(clinic, Head(clinic))
            if heads.is_truncated or heads.last.sequence < reported.sequence:
                longest = max(heads.released.sequence, reported.sequence)
                log.error("Audit lines are missing at the end of a chain", **_describe(heads.last), expected=longest)
                self._metrics.count_truncation()
            elif heads.last != reported:
                log.info("Audit head", **_describe(heads.last), mac=heads.last.mac)
                self._reported[clinic] = heads.last
            lines += heads.last.sequence
        self._metrics.set_head_lines(lines)


def _describe(head: Head) -> dict[str, object]:
    return {"clinic": str(head.clinic_id), "sequence": head.sequence}
