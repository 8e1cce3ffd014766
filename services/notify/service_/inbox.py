"""The use cases: what clinicians see in the inbox and do about an alert, and the removal of what is past retention."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from math import ceil
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from services.notify.delivery.planner import DeliveryPlanner
from services.notify.domain.alert import Alert, AlertEnd, Shown, Status, alert_id
from services.notify.domain.disposition_requests import DispositionRequest, decide
from services.notify.domain.relationship import Relationship
from services.notify.domain.routing import is_recent
from services.notify.metrics import Metrics
from services.notify.store import DeliveryStore, Store
from shared.clinical.openings import CATALOGUE
from shared.clinical.reliability import describe_reliability
from shared.clinical.wording import describe_evidence
from shared.errors import NotFound
from shared.events import CaseCode, DispositionKind, Event, LevelShift, Severity
from shared.outbox.documents import Change
from shared.runtime.model import Model

log = structlog.get_logger()

MAX_PAGE_ALERTS = 200
"""Maximum number of alerts on one page of an inbox."""
MAX_PAGE_DELIVERIES = 1000
"""Maximum number of completed deliveries that are looked at together, to remove those past retention."""


class InboxAlert(Model):
    """One alert as its clinician sees it."""

    alert_id: UUID
    episode_id: UUID
    relationship_id: UUID
    clinician_id: UUID
    case_code: CaseCode | None
    severity: Severity
    status: Status
    first_sign_at: datetime
    last_sign_at: datetime
    raised_at: datetime
    began_before: bool
    """Whether it was found later, in the history: by a rebuild or a change of the rules, or because its episode had
    begun more than ten days before it was raised."""
    why: list[str]
    """At most three sentences, the newest session first, with dates in the clinician's time zone."""
    reliability: str | None
    """How often such alerts were right in simulations; null if that is not known, or if the client said it directly."""
    openings: list[str]
    """One or two openings for a conversation about it, from a catalogue."""
    next_session_at: datetime | None
    useful: bool | None
    """Whether the clinician called it useful when resolving it."""
    disposition: DispositionKind | None
    """What the clinician did about it, as stated when resolving it."""
    end_reason: AlertEnd | None
    """Why the alliance no longer shows the signs, if they were not repaired. A level shift is no repair."""
    superseded_by: UUID | None
    """The alert that took its place, if a second rupture began."""
    shift: LevelShift | None
    """Whether the ratings are lower or higher since the first sign, after a level shift."""
    shown: Shown
    """Goes into every request about the alert: it is rejected if the alert has changed since."""
    disposition_id: UUID | None
    """The disposition that decides the status, which can be taken back; null if there is none."""
    disposition_count: int
    """How many dispositions there were, with those that were taken back."""
    version: int
    """The relationship's version, as alliance counts it, at the latest event of the episode."""


class InboxView(Model):
    """One page of a clinician's alerts: open first, most severe first."""

    alerts: list[InboxAlert]
    active: int
    """How many alerts are open or acknowledged, on all pages."""
    total: int
    """How many alerts there are on all pages."""
    page: int
    """The number of this page, from 1."""
    pages: int


class InboxService:
    """The inbox of every clinician. Every method is idempotent and may raise StoreUnavailable."""

    def __init__(self, store: Store, planner: DeliveryPlanner, clock: Callable[[], datetime], metrics: Metrics) -> None:
        self._store = store
        self._planner = planner
        self._clock = clock
        self._metrics = metrics

    async def get_inbox(self, clinician_id: UUID, page: int = 1) -> InboxView:
        """One page of the clinician's current alerts. Raises NotFound if nothing is known of the clinician."""
        counts = await self._store.count_inbox_alerts(clinician_id)
        zone_name = await self._store.find_time_zone(clinician_id)
        if not counts.total and zone_name is None:
            raise NotFound(
                "unknown-clinician",
                f"clinician {clinician_id} is not known; it may not have arrived yet",
            )
        stored_alerts = await self._store.list_inbox_alerts(clinician_id, MAX_PAGE_ALERTS, (page - 1) * MAX_PAGE_ALERTS)
        return InboxView(
            alerts=await self._visible_alerts(stored_alerts, _parse_zone(zone_name)),
            active=counts.active,
            total=counts.total,
            page=page,
            pages=max(1, ceil(counts.total / MAX_PAGE_ALERTS)),
        )

    async def find_zone(self, clinician_id: UUID) -> tzinfo:
        """The clinician's time zone; UTC while it is not known."""
        return _parse_zone(await self._store.find_time_zone(clinician_id))

    async def get_alert(self, alert_id: UUID) -> InboxAlert:
        """One alert. Raises NotFound."""
        found = await self._store.load_alerts([alert_id])
        return await self._require_visible(alert_id, found.get(alert_id))

    async def dispose(self, alert_id: UUID, request: DispositionRequest) -> InboxAlert:
        """Record what the clinician decided. Raises NotFound, and Rejected if the alert is not as it was shown."""

        def decide_if_visible(alert: Alert | None) -> tuple[Alert, Sequence[Event]]:
            if alert is None or alert.clinician_id is None or alert.is_withdrawn:
                raise _not_found(alert_id)
            return decide(alert, request, self._clock())

        change = await self._store.change_alert(alert_id, decide_if_visible)
        self._record_metrics(change)
        if request.action == "reopened":  # a message may be needed that was not while the disposition counted
            await self._planner.plan([change.after])
        return await self._require_visible(alert_id, change.after)

    def _record_metrics(self, change: Change[Alert]) -> None:
        """Count only actual changes, so that a repeated request is counted once."""
        status_before, after = change.before.status if change.before else None, change.after
        if status_before == "open" and after.status != "open":
            self._metrics.observe_acknowledgement(after.severity, self._clock() - after.escalations[-1][1].at)
        if status_before != "resolved" and after.status == "resolved" and after.resolved is not None:
            self._metrics.count_resolved(after.severity, after.resolved.useful)
        elif status_before == "open":
            self._metrics.count_closed(after.severity, after.status)

    async def _require_visible(self, alert_id: UUID, alert: Alert | None) -> InboxAlert:
        if alert is None or alert.clinician_id is None:
            raise _not_found(alert_id)
        visible = await self._visible_alerts([alert], await self.find_zone(alert.clinician_id))
        if not visible:
            raise _not_found(alert_id)
        return visible[0]

    async def _visible_alerts(self, stored_alerts: Sequence[Alert], zone: tzinfo) -> list[InboxAlert]:
        """The alerts with data of their relationships, without those of erased clients and withdrawn consent."""
        relationships = (
            await self._store.load_relationships({alert.relationship_id for alert in stored_alerts})
            if stored_alerts
            else {}
        )
        now = self._clock()
        return [
            _to_inbox_alert(alert, alert.clinician_id, relationships[alert.relationship_id].value, now, zone)
            for alert in stored_alerts
            if alert.clinician_id is not None
            and not alert.is_withdrawn
            and not relationships[alert.relationship_id].value.erased
        ]


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


def _to_inbox_alert(
    alert: Alert, clinician_id: UUID, relationship: Relationship, now: datetime, zone: tzinfo
) -> InboxAlert:
    episode = alert.episode
    resolved = alert.resolved if alert.status == "resolved" else None
    return InboxAlert(
        alert_id=alert.id,
        episode_id=alert.episode_id,
        relationship_id=alert.relationship_id,
        clinician_id=clinician_id,
        case_code=relationship.case_code,
        severity=alert.severity,
        status=alert.status,
        first_sign_at=episode.first_sign_at,
        last_sign_at=episode.last_sign_at,
        raised_at=alert.raised_at,
        began_before=alert.began_before,
        why=describe_evidence(episode.evidence, zone),
        reliability=describe_reliability(episode.evidence, episode.probability, episode.base_rate),
        openings=CATALOGUE.suggest(episode.evidence),
        next_session_at=relationship.next_session_at(now),
        useful=resolved.useful if resolved else None,
        disposition=resolved.disposition if resolved else None,
        end_reason=alert.end_reason,
        superseded_by=alert_id(episode.superseded_by) if episode.superseded_by else None,
        shift=episode.shift,
        shown=alert.shown,
        disposition_id=alert.current_disposition.id if alert.current_disposition else None,
        disposition_count=len(alert.dispositions),
        version=alert.episode.version,
    )


def _parse_zone(name: str | None) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError):
        return UTC


def _not_found(alert_id: UUID) -> NotFound:
    return NotFound("unknown-alert", f"alert {alert_id} is not known; it may not have arrived yet")
