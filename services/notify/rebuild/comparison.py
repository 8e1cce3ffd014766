"""The differences between the stored view of one relationship and its projection from the topics."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError

from services.notify.domain.alert import Alert
from services.notify.domain.projection import RelationshipProjection, with_dispositions_of
from services.notify.domain.relationship import Relationship
from services.notify.domain.retention import is_past_retention
from services.notify.store.stored_names import STORED_NAMES
from shared.mongo.client import Document
from shared.rebuild.projection import version_of
from shared.rebuild.view import MISSING, NOT_ON_TOPICS, UNREADABLE

T = TypeVar("T", bound=BaseModel)
BEGINNING = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class CurrentView:
    """What is stored of one relationship."""

    relationship: Document | None = None
    alerts: dict[UUID, Document] = field(default_factory=dict)
    retained_since: datetime = BEGINNING
    """What was settled before is past retention."""


def compare(projection: RelationshipProjection, current: CurrentView) -> list[str]:
    """The names of what differs and can be corrected."""
    names = compare_relationship(projection, current)
    for alert_id, alert in sorted(retained_alerts(projection, current).items()):
        names += [f"alert {alert_id} {name}" for name in compare_alert(alert, current)]
    if projection.relationship.erased:
        names += [f"alert {alert_id} not erased" for alert_id in sorted(current.alerts)]
    return names


def retained_alerts(projection: RelationshipProjection, current: CurrentView) -> dict[UUID, Alert]:
    """The alerts without those that were removed because they are past retention, or will be next."""
    return {
        alert_id: alert
        for alert_id, alert in projection.alerts.items()
        if current.alerts.get(alert_id, {}).get("unsettled", False)
        or not is_past_retention(expected_alert(alert, current), current.retained_since)
    }


def list_unexpected_alerts(projection: RelationshipProjection, current: CurrentView) -> list[str]:
    """The stored alerts that are not on the topics; a rebuild leaves them alone."""
    expected = current.alerts.keys() if projection.relationship.erased else projection.alerts.keys()
    return [f"alert {alert_id} {NOT_ON_TOPICS}" for alert_id in sorted(current.alerts.keys() - expected)]


def list_losses(projection: RelationshipProjection, current: CurrentView) -> list[str]:
    """The stored alerts that wait for their clinician, and of the projection would not.

    That a client was erased, or withdrew consent, is no loss: then nobody may see the alert.
    """
    if projection.relationship.erased:
        return []
    stored_alerts = [_parse(Alert, document) for _, document in sorted(current.alerts.items())]
    waiting = [alert for alert in stored_alerts if alert and alert.is_active and alert.clinician_id]
    pairs = [(alert, projection.alerts.get(alert.id)) for alert in waiting]
    return [
        f"open alert {alert.id} would be taken from its clinician"
        for alert, rebuilt in pairs
        if rebuilt is None or _is_lost(alert, expected_alert(rebuilt, current))
    ]


def _is_lost(alert: Alert, rebuilt: Alert) -> bool:
    return rebuilt.clinician_id != alert.clinician_id or not (rebuilt.is_active or rebuilt.is_withdrawn)


def compare_relationship(projection: RelationshipProjection, current: CurrentView) -> list[str]:
    """The fields of the relationship that differ. It need not be stored while nothing is known of it."""
    empty = Relationship(relationship_id=projection.relationship.relationship_id)
    if current.relationship is None and projection.relationship == empty:
        return []
    return _compare_fields(projection.relationship, current.relationship)


def compare_alert(alert: Alert, current: CurrentView) -> list[str]:
    """The fields of the alert that differ."""
    return _compare_fields(expected_alert(alert, current), current.alerts.get(alert.id))


def expected_alert(alert: Alert, current: CurrentView) -> Alert:
    """The alert with the stored dispositions that are not on the topics yet."""
    stored = _parse(Alert, current.alerts.get(alert.id))
    if stored is None or stored.relationship_id != alert.relationship_id:
        return alert
    return with_dispositions_of(alert, stored)


def _compare_fields(expected: BaseModel, document: Document | None) -> list[str]:
    if document is None:
        return [MISSING]
    stored = _parse(type(expected), document)
    if stored is None:
        return [UNREADABLE]
    expected_fields, stored_fields = STORED_NAMES.to_document(expected), STORED_NAMES.to_document(stored)
    computed = [STORED_NAMES.stored_path(name) for name in type(expected).model_computed_fields]
    # A field that is missing has its default: an older version, which did not know the field, stored the document.
    names = [n for n in expected_fields if n not in computed and stored_fields[n] != expected_fields[n]]
    names += [name for name in computed if document.get(name) != expected_fields[name]]
    # An older version stored the last disposition of each kind, and not the ones before.
    if "dispositions" in names and "dispositions" not in document:
        names.remove("dispositions")
    return names if version_of(document) else [*names, "version"]


def _parse(model: type[T], document: Document | None) -> T | None:
    try:
        return None if document is None else STORED_NAMES.from_document(model, document)
    except ValidationError:
        return None
