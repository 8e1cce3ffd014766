"""What clinicians see in the inbox and do about an alert, and how they want to be sent alerts."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from math import ceil
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import structlog

from services.notify.delivery.planner import DeliveryPlanner
from services.notify.domain.alert import Alert, AlertEnd, Shown, Status, alert_id
from services.notify.domain.disposition_requests import DispositionRequest, decide
from services.notify.domain.relationship import Relationship
from services.notify.domain.routing import ChannelAddresses
from services.notify.metrics import Metrics
from services.notify.store import Store
from shared.access.clinic_id import ClinicId
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
    """The inbox of every clinician. Every method is idempotent and may raise StoreUnavailable.

    A request is confined to its clinic: what belongs to another one is not found. None means every clinic.
    """

    def __init__(self, store: Store, planner: DeliveryPlanner, clock: Callable[[], datetime], metrics: Metrics) -> None:
        self._store = store
        self._planner = planner
        self._clock = clock
        self._metrics = metrics

    async def get_inbox(self, clinic: ClinicId | None, clinician_id: UUID, page: int = 1) -> InboxView:
        """One page of the clinician's current alerts. Raises NotFound if nothing is known of the clinician."""
        counts = await self._store.count_inbox_alerts(clinic, clinician_id)
        zone_name = await self._store.find_time_zone(clinic, clinician_id)
        if not counts.total and zone_name is None:
            raise _clinician_not_found(clinician_id)
        stored_alerts = await self._store.list_inbox_alerts(
            clinic, clinician_id, MAX_PAGE_ALERTS, (page - 1) * MAX_PAGE_ALERTS
        )
        return InboxView(
            alerts=await self._visible_alerts(clinic, stored_alerts, _parse_zone(zone_name)),
            active=counts.active,
            total=counts.total,
            page=page,
            pages=max(1, ceil(counts.total / MAX_PAGE_ALERTS)),
        )

    async def find_zone(self, clinic: ClinicId | None, clinician_id: UUID) -> tzinfo:
        """The clinician's time zone; UTC while it is not known."""
        return _parse_zone(await self._store.find_time_zone(clinic, clinician_id))

    async def get_alert(self, clinic: ClinicId | None, alert_id: UUID) -> InboxAlert:
        """One alert. Raises NotFound."""
        return await self._require_visible(clinic, alert_id, await self._store.find_alert(clinic, alert_id))

    async def update_channels(self, clinic: ClinicId | None, clinician_id: UUID, addresses: ChannelAddresses) -> None:
        """Send alerts to these addresses from now on. Raises NotFound if the clinic has no such clinician."""
        if not await self._planner.update_channels(clinic, clinician_id, addresses):
            raise _clinician_not_found(clinician_id)

    async def dispose(self, clinic: ClinicId | None, alert_id: UUID, request: DispositionRequest) -> InboxAlert:
        """Record what the clinician decided. Raises NotFound, and Rejected if the alert is not as it was shown."""

        def decide_if_visible(alert: Alert | None) -> tuple[Alert, Sequence[Event]]:
            if alert is None or alert.clinician_id is None or alert.is_withdrawn:
                raise _not_found(alert_id)
            return decide(alert, request, self._clock())

        change = await self._store.change_alert(clinic, alert_id, decide_if_visible)
        self._record_metrics(change)
        if request.action == "reopened":  # a message may be needed that was not while the disposition counted
            await self._planner.plan([change.after])
        return await self._require_visible(clinic, alert_id, change.after)

    def _record_metrics(self, change: Change[Alert]) -> None:
        """Count only actual changes, so that a repeated request is counted once."""
        status_before, after = change.before.status if change.before else None, change.after
        if status_before == "open" and after.status != "open":
            self._metrics.observe_acknowledgement(after.severity, self._clock() - after.escalations[-1][1].at)
        if status_before != "resolved" and after.status == "resolved" and after.resolved is not None:
            self._metrics.count_resolved(after.severity, after.resolved.useful)
        elif status_before == "open":
            self._metrics.count_closed(after.severity, after.status)

    async def _require_visible(self, clinic: ClinicId | None, alert_id: UUID, alert: Alert | None) -> InboxAlert:
        if alert is None or alert.clinician_id is None:
            raise _not_found(alert_id)
        visible = await self._visible_alerts(clinic, [alert], await self.find_zone(clinic, alert.clinician_id))
        if not visible:
            raise _not_found(alert_id)
        return visible[0]

    async def _visible_alerts(
        self, clinic: ClinicId | None, stored_alerts: Sequence[Alert], zone: tzinfo
    ) -> list[InboxAlert]:
        """The alerts with data of their relationships, without those of erased clients and withdrawn consent."""
        ids = {alert.relationship_id for alert in stored_alerts}
        relationships = await self._store.find_relationships(clinic, ids) if ids else {}
        now = self._clock()
        return [
            _to_inbox_alert(alert, alert.clinician_id, relationship, now, zone)
            for alert in stored_alerts
            if alert.clinician_id is not None
            and not alert.is_withdrawn
            and (relationship := relationships.get(alert.relationship_id)) is not None
            and not relationship.erased
        ]


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


def _clinician_not_found(clinician_id: UUID) -> NotFound:
    return NotFound("unknown-clinician", f"clinician {clinician_id} is not known; it may not have arrived yet")
