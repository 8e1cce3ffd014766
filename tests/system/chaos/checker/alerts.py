"""The alerts that must exist and their status, computed by plain rules from alliance's rupture events."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from services.alliance.domain.fold import FoldResult
from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertReopened,
    AlertResolved,
    AllianceUpdated,
    ConsentGiven,
    ConsentWithdrawn,
    RelationshipStarted,
    RuptureEnded,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    Severity,
)
from shared.events.model import SEVERITY_RANK
from tests.system.chaos.checker.observation import ObservedState
from tests.system.chaos.checker.states import latest_rupture_events
from tests.system.chaos.checker.topic_contents import TopicContents

ACTIVE_STATUSES = ("open", "acknowledged")
NEVER, FOREVER = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 1, 1, tzinfo=UTC)
MAX_INBOX_ALERTS = 200
"""The most alerts in one inbox."""


@dataclass(frozen=True)
class ExpectedAlert:
    """An alert that must exist."""

    id: UUID
    clinician_id: UUID | None
    """None while `RelationshipStarted` is missing."""
    latest: RuptureEvent
    """The event of its episode with the highest version."""
    rupture_events: Sequence[RuptureEvent]
    """All events of its episode, by version."""
    status: str
    is_withdrawn: bool = False
    """Whether nobody sees it any more, because the client withdrew consent."""
    escalations: Mapping[Severity, RuptureEvent] = field(default_factory=dict)
    """The first event of each severity that the alert rose to."""


def expected_alerts(observed: ObservedState) -> dict[UUID, ExpectedAlert]:
    """One alert for each episode that was ever published."""
    contents, withdrawals = observed.topic_contents, _withdrawals(observed)
    by_episode = defaultdict[UUID, list[RuptureEvent]](list)
    for event in contents.rupture_events.values():
        by_episode[event.episode_id].append(event)
    latest_by_episode, clinician_ids, disposition_ranks = (
        latest_rupture_events(contents.rupture_events.values()),
        _clinician_by_relationship(contents),
        _disposition_ranks(contents),
    )
    found = {}
    for episode, rupture_events in by_episode.items():
        alert_id, latest = uuid5(episode, "alert"), latest_by_episode[episode]
        is_withdrawn = withdrawals.get(latest.relationship_id, NEVER) >= latest.first_sign_at
        found[alert_id] = ExpectedAlert(
            id=alert_id,
            clinician_id=clinician_ids.get(latest.relationship_id),
            latest=latest,
            rupture_events=sorted(rupture_events, key=lambda event: event.version),
            status=_status(
                latest,
                contents.alliance_updates.get(latest.relationship_id),
                disposition_ranks.get(alert_id, {}),
                is_withdrawn,
            ),
            is_withdrawn=is_withdrawn,
            escalations=_escalations(rupture_events),
        )
    return found


def _withdrawals(observed: ObservedState) -> dict[UUID, datetime]:
    """Until when signs are gone: the last withdrawal, or for ever while consent was not given again.

    An older version of notify did not consume consents; its relationships do not know them until a rebuild.
    """
    given, withdrawn = dict[UUID, datetime](), dict[UUID, datetime]()
    for event in observed.topic_contents.source_events.values():
        if isinstance(event, ConsentGiven | ConsentWithdrawn):
            times = given if isinstance(event, ConsentGiven) else withdrawn
            times[event.relationship_id] = max(event.occurred_at, times.get(event.relationship_id, NEVER))
    documents = observed.documents("notify", "relationships")
    known = {r for r in withdrawn if documents.get(r, {}).get("consent_withdrawn_at") is not None}
    return {r: withdrawn[r] if given.get(r, NEVER) > withdrawn[r] else FOREVER for r in known}


def _clinician_by_relationship(contents: TopicContents) -> dict[UUID, UUID]:
    started = (
        started_event
        for started_event in contents.source_events.values()
        if isinstance(started_event, RelationshipStarted)
    )
    return {started_event.relationship_id: started_event.clinician_id for started_event in started}


def _disposition_ranks(contents: TopicContents) -> dict[UUID, dict[str, int]]:
    """The highest severity at which each alert was acknowledged or resolved, and that was not taken back."""
    found = defaultdict[UUID, dict[str, int]](dict)
    taken_back = {e.disposition_id for e in contents.alert_events.values() if isinstance(e, AlertReopened)}
    for event in contents.alert_events.values():
        if isinstance(event, AlertAcknowledged | AlertResolved) and event.id not in taken_back:
            action = "acknowledged" if isinstance(event, AlertAcknowledged) else "resolved"
            if event.severity is not None:
                ranks = found[event.alert_id]
                ranks[action] = max(SEVERITY_RANK[event.severity], ranks.get(action, -1))
    return found


def _status(
    latest: RuptureEvent, update: AllianceUpdated | None, disposition_ranks: Mapping[str, int], is_withdrawn: bool
) -> str:
    rank = SEVERITY_RANK[latest.severity]
    if disposition_ranks.get("resolved", -1) >= rank:
        return "resolved"
    if is_withdrawn:
        return "retracted"
    if isinstance(latest, RuptureRepaired):
        return "repaired"
    if _must_be_read(latest) and disposition_ranks.get("acknowledged", -1) < rank:
        return "open"
    if isinstance(latest, RuptureEnded) and latest.reason != "resolved":
        return "ended"
    is_closed = (
        not isinstance(latest, RuptureEnded)
        and update is not None
        and update.version >= latest.version
        and update.open_episode_id != latest.episode_id
    )
    if isinstance(latest, RuptureRetracted) or is_closed:
        return "retracted"
    return "acknowledged" if disposition_ranks.get("acknowledged", -1) >= rank else "open"


def _must_be_read(latest: RuptureEvent) -> bool:
    """Whether the client ended the relationship, or was transferred while the alert was urgent."""
    return isinstance(latest, RuptureRetracted) and (
        latest.end_reason == "stopped_by_client" or (latest.end_reason == "transferred" and latest.severity == "urgent")
    )


def _may_be_active(latest: RuptureEvent) -> bool:
    """Whether the alert can be active without an open episode; also one that was resolved when it was less severe."""
    return _must_be_read(latest) or (isinstance(latest, RuptureEnded) and latest.reason == "resolved")


def _escalations(rupture_events: Iterable[RuptureEvent]) -> dict[Severity, RuptureEvent]:
    escalations: dict[Severity, RuptureEvent] = {}
    highest_rank = -1
    for event in sorted(rupture_events, key=lambda event: event.version):
        if SEVERITY_RANK[event.severity] > highest_rank:
            highest_rank = SEVERITY_RANK[event.severity]
            escalations[event.severity] = event
    return escalations


def episode_differences(alerts: Mapping[UUID, ExpectedAlert], fold_results: Mapping[UUID, FoldResult]) -> list[str]:
    """Episodes of the refold whose alert has another status, and active alerts without an open episode."""
    differences, open_alert_ids = [], set[UUID]()
    for result in fold_results.values():
        expected_statuses: list[tuple[UUID, tuple[str, ...]]] = [
            (episode.id, ("repaired", "resolved")) for episode in result.repaired_episodes
        ]
        expected_statuses += [
            (
                ended.episode.id,
                ("resolved", "open", "acknowledged") if ended.reason == "resolved" else ("ended", "resolved"),
            )
            for ended in result.ended_episodes
        ]
        if result.alliance.open_episode is not None:
            open_alert_ids.add(uuid5(result.alliance.open_episode.id, "alert"))
            expected_statuses.append((result.alliance.open_episode.id, ("open", "acknowledged", "resolved")))
        for episode_id, allowed in expected_statuses:
            alert = alerts.get(uuid5(episode_id, "alert"))
            if alert is None or (alert.status not in allowed and not alert.is_withdrawn):
                differences.append(f"episode {episode_id}: {alert.status if alert else 'no alert'}, not {allowed[0]}")
    active = {a.id for a in alerts.values() if a.status in ACTIVE_STATUSES and not _may_be_active(a.latest)}
    return differences + [f"alert {alert_id}: no open episode" for alert_id in active - open_alert_ids]


def stored_differences(alerts: Mapping[UUID, ExpectedAlert], observed: ObservedState) -> list[str]:
    """Alerts that notify does not store, stores differently, or stores without an episode."""
    documents = observed.documents("notify", "alerts")
    differences = [f"alert {alert_id}: missing" for alert_id in alerts.keys() - documents.keys()]
    differences += [f"alert {alert_id}: without episode" for alert_id in documents.keys() - alerts.keys()]
    for alert_id in alerts.keys() & documents.keys():
        alert, document = alerts[alert_id], documents[alert_id]
        fields = {
            "episode": (document["episode_id"], alert.latest.episode_id),
            "relationship": (document["relationship_id"], alert.latest.relationship_id),
            "clinician": (document["clinician_id"], alert.clinician_id),
            "status": (document["status"], alert.status),
            "severity": (document["said"]["severity"], alert.latest.severity),
            "version": (document["said"]["version"], alert.latest.version),
            "last sign": (document["said"]["last_sign_at"], alert.latest.last_sign_at),
        }
        differences += [
            f"alert {alert_id}: {field_name} {actual}, not {expected_value}"
            for field_name, (actual, expected_value) in fields.items()
            if actual != expected_value
        ]
    return differences


def multiple_open_alerts(alerts: Iterable[ExpectedAlert]) -> list[str]:
    """Relationships with more than one active alert."""
    active = [alert for alert in alerts if alert.status in ACTIVE_STATUSES and not _may_be_active(alert.latest)]
    open_counts = Counter(alert.latest.relationship_id for alert in active)
    return [f"{relationship}: {count} alerts" for relationship, count in open_counts.items() if count > 1]


def _is_withdrawn(alert: ExpectedAlert, documents: Mapping[UUID, Mapping[str, Any]]) -> bool:
    """Whether the client withdrew consent; an alert that an older version stored is shown until a rebuild."""
    if alert.is_withdrawn:
        return True
    is_retracted = isinstance(alert.latest, RuptureRetracted) and alert.latest.reason == "consent_withdrawn"
    return is_retracted and "end_reason" in documents.get(alert.id, {}).get("said", {"end_reason": None})


def inbox_differences(alerts: Mapping[UUID, ExpectedAlert], observed: ObservedState) -> list[str]:
    """Inboxes that do not show exactly the alerts of their clinician, up to the limit and in the right order."""
    by_clinician = defaultdict[UUID | None, list[ExpectedAlert]](list)
    documents = observed.documents("notify", "alerts")
    for alert in alerts.values():
        if not _is_withdrawn(alert, documents):
            by_clinician[alert.clinician_id].append(alert)
    differences = []
    for clinician, inbox in observed.inboxes.items():
        if inbox is None:
            differences.append(f"{clinician}: no inbox")
            continue
        expected_order = sorted(by_clinician[clinician], key=_inbox_order)[:MAX_INBOX_ALERTS]
        expected_rows = [(str(a.id), a.status, a.latest.severity) for a in expected_order]
        shown_rows = [(a["alert_id"], a["status"], a["severity"]) for a in inbox["alerts"]]
        if shown_rows != expected_rows:
            differing = set(shown_rows) ^ set(expected_rows)
            differences.append(
                f"{clinician}: {sorted(i for i, _, _ in differing)[:3] if differing else 'different order'}"
            )
    return differences


def _inbox_order(alert: ExpectedAlert) -> tuple[int, float, bytes]:
    status_rank = {"open": 0, "acknowledged": 1}.get(alert.status, 2)
    return (
        10 * status_rank - SEVERITY_RANK[alert.latest.severity],
        -alert.latest.last_sign_at.timestamp(),
        alert.id.bytes,
    )


def raised_event_differences(alerts: Mapping[UUID, ExpectedAlert], contents: TopicContents) -> list[str]:
    """Alerts without the raised events that they need, and raised events without an alert.

    If versions were published in another order than they were written, a raised event may exist for a severity that
    the latest version no longer counts as a rise.
    """
    raised_events = {event.id: event for event in contents.alert_events.values() if isinstance(event, AlertRaised)}
    differences = []
    for alert in alerts.values():
        if alert.clinician_id is None:
            continue
        for severity in alert.escalations:
            event = raised_events.get(uuid5(alert.id, f"raised:{severity}"))
            if event is None or not _matches(event, alert, severity):
                differences.append(f"{alert.id}: raised event of {severity} missing or different")
    for event in raised_events.values():
        alert_of_event = alerts.get(event.alert_id)
        severities = (
            {rupture_event.severity for rupture_event in alert_of_event.rupture_events} if alert_of_event else set()
        )
        if event.severity not in severities or event.id != uuid5(event.alert_id, f"raised:{event.severity}"):
            differences.append(f"{event.alert_id}: unexpected raised event of {event.severity}")
    return differences


def _matches(event: AlertRaised, alert: ExpectedAlert, severity: Severity) -> bool:
    actual = (event.alert_id, event.episode_id, event.relationship_id, event.clinician_id, event.severity)
    expected_values = (alert.id, alert.latest.episode_id, alert.latest.relationship_id, alert.clinician_id, severity)
    return actual == expected_values and event.occurred_at in {
        rupture_event.last_sign_at for rupture_event in alert.rupture_events if rupture_event.severity == severity
    }
