"""The removal of what is past retention."""

from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from services.notify.domain.alert import Alert
from services.notify.domain.routing import is_recent
from services.notify.metrics import Metrics
from services.notify.store import DeliveryStore, Store

log = structlog.get_logger()

MAX_PAGE_DELIVERIES = 1000
"""Maximum number of completed deliveries that are looked at together, to remove those past retention."""


@dataclass(frozen=True)
class Retention:
    """How long closed alerts and completed deliveries stay stored."""

    alerts: timedelta
    deliveries: timedelta
    max_sign_age: timedelta
    """A message may still be owed about an alert whose last sign is not older."""


class RetentionService:
    """Removes what is past retention. May raise StoreUnavailable; repeating it is safe."""

    def __init__(self, store: Store, delivery_store: DeliveryStore, retention: Retention, metrics: Metrics) -> None:
        self._store = store
        self._delivery_store = delivery_store
        self._retention = retention
        self._metrics = metrics

    async def remove_past(self) -> None:
        """Remove closed alerts and completed deliveries that are past retention, by the clock of the store."""
        now = await self._store.now()
        removed_alerts = await self._store.remove_past_alerts(now - self._retention.alerts)
        self._metrics.count_removed("alert", removed_alerts)
        removed_deliveries = await self._remove_deliveries(now)
        self._metrics.count_removed("delivery", removed_deliveries)
        if removed_alerts or removed_deliveries:
            log.info("Removed what is past retention", alerts=removed_alerts, deliveries=removed_deliveries)

    async def _remove_deliveries(self, now: datetime) -> int:
        removed, last_id = 0, None
        while page := await self._delivery_store.list_completed(
            now - self._retention.deliveries, last_id, MAX_PAGE_DELIVERIES
        ):
            alerts_by_id = await self._store.load_alerts({delivery.alert_id for delivery in page})
            past = [d.id for d in page if not self._may_be_owed(alerts_by_id.get(d.alert_id), now)]
            removed += await self._delivery_store.remove_completed(past)
            last_id = page[-1].id
        return removed

    def _may_be_owed(self, alert: Alert | None, now: datetime) -> bool:
        """Whether the message would be planned, and sent again, if it were forgotten that it was sent."""
        return alert is not None and (alert.is_active or is_recent(alert, now, self._retention.max_sign_age))
