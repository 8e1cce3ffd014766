"""What a rebuild and a verification read of the view as it is, damaged or not, and what a rebuild writes beside it.

What ought to stand in the view is written into `rebuilt`, a document for each relationship, until it is swapped in.
Every method raises StoreUnavailable and is safe to repeat.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar
from uuid import UUID

from pydantic import BaseModel, ValidationError
from pymongo import ReplaceOne

from services.notify.domain.alert import Alert
from services.notify.domain.projection import RelationshipProjection, with_dispositions_of
from services.notify.domain.relationship import Relationship
from services.notify.store.alerts import ALERTS
from shared.events import ClinicianRegistered, ClinicianUpdated
from shared.kafka.topic_reader import Offsets
from shared.mongo.client import Document, Mongo, translate_errors

T = TypeVar("T", bound=BaseModel)
_INTEGER_TYPES = ["int", "long"]


@dataclass(frozen=True, slots=True)
class CurrentView:
    """What the database holds of one relationship."""

    relationship: Document | None = None
    alerts: dict[UUID, Document] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RebuiltState:
    """What ought to stand in the view, as of these positions on the topics, and what stands there otherwise."""

    projection: RelationshipProjection
    offsets: Offsets
    differences: tuple[str, ...]

    @property
    def relationship(self) -> UUID:
        return self.projection.relationship.relationship_id


class Staging:
    """The view as it stands, and what stands beside it."""

    def __init__(self, mongo: Mongo) -> None:
        self._relationships = mongo["relationships"]
        self._alerts = mongo[ALERTS]
        self._clinicians = mongo["clinicians"]
        self._staged = mongo["rebuilt"]

    async def create_indexes(self) -> None:
        """Create the index."""
        with translate_errors():
            await self._staged.create_index("share", name="share")

    async def load_current(self, projections: Mapping[UUID, RelationshipProjection]) -> dict[UUID, CurrentView]:
        """What is kept of these relationships, and under the ids of their alerts."""
        relationship_by_alert = {alert: r for r, projection in projections.items() for alert in projection.alerts}
        conditions = [{"relationship_id": {"$in": list(projections)}}, {"_id": {"$in": list(relationship_by_alert)}}]
        with translate_errors():
            relationships = await self._relationships.find({"_id": {"$in": list(projections)}}).to_list(None)
            alerts = await self._alerts.find({"$or": conditions}).to_list(None)
        documents = {document["_id"]: document for document in relationships}
        found = {r: CurrentView(documents.get(r)) for r in projections}
        for document in alerts:
            found[relationship_by_alert.get(document["_id"]) or document["relationship_id"]].alerts[document["_id"]] = (
                document
            )
        return found

    async def remove_invalid_versions(self, projections: Mapping[UUID, RelationshipProjection]) -> None:
        """Where a version is no number it is none, so that the first write can be the next one."""
        invalid = {"$exists": True, "$not": {"$type": _INTEGER_TYPES}}
        alerts = [alert for projection in projections.values() for alert in projection.alerts]
        for collection, ids in ((self._relationships, list(projections)), (self._alerts, alerts)):
            with translate_errors():
                await collection.update_many({"_id": {"$in": ids}, "v": invalid}, {"$unset": {"v": ""}})

    async def stage(self, task_id: str, states: Sequence[RebuiltState]) -> None:
        """Write what differs beside the view."""
        if states:
            writes = [
                ReplaceOne({"_id": state.relationship}, _to_document(task_id, state), upsert=True) for state in states
            ]
            with translate_errors():
                await self._staged.bulk_write(writes, ordered=False)

    async def staged(self, task_id: str, limit: int) -> list[RebuiltState]:
        """Some of what was written beside for this share."""
        with translate_errors():
            found = await self._staged.find({"share": task_id}).to_list(limit)
        return [_from_document(document) for document in found]

    async def delete(self, relationships: Iterable[UUID]) -> None:
        """These are in place, and what follows is told."""
        with translate_errors():
            await self._staged.delete_many({"_id": {"$in": list(relationships)}})

    async def clear(self) -> None:
        """Give up what is written beside."""
        with translate_errors():
            await self._staged.delete_many({})

    async def page(self, after: UUID | None, limit: int) -> list[UUID]:
        """The next relationships of the view, by id."""
        query: Document = {} if after is None else {"_id": {"$gt": after}}
        with translate_errors():
            found = await self._relationships.find(query, {"_id": 1}).sort("_id", 1).limit(limit).to_list(None)
        return [document["_id"] for document in found]

    async def load_clinicians(self, ids: Collection[UUID]) -> dict[UUID, Document]:
        """What is kept of these clinicians."""
        with translate_errors():
            found = await self._clinicians.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {document["_id"]: document for document in found}

    async def correct_clinician(self, latest: ClinicianRegistered | ClinicianUpdated, stored: Document | None) -> None:
        """Keep what was told last of a clinician, unless somebody has just kept something newer."""
        guard: Document = {"_id": latest.clinician_id}
        if stored is not None:
            guard["told_at"] = stored.get("told_at")
        update = {"$set": {"time_zone": latest.time_zone, "told_at": latest.occurred_at}}
        with translate_errors():
            await self._clinicians.update_one(guard, update, upsert=stored is None)


def differences(current: CurrentView, projection: RelationshipProjection) -> list[str]:
    """Which parts are not as they ought to be: their names, never what is in them."""
    found = relationship_differences(current, projection)
    for alert_id, alert in sorted(projection.alerts.items()):
        found += [f"alert {alert_id} {name}" for name in alert_differences(current, alert)]
    if projection.relationship.erased:
        found += [f"alert {alert_id} not forgotten" for alert_id in sorted(current.alerts)]
    return found


def unexpected_alerts(current: CurrentView, projection: RelationshipProjection) -> list[str]:
    """The alerts that are kept and that the topics know nothing of; a rebuild leaves them alone."""
    expected = current.alerts.keys() if projection.relationship.erased else projection.alerts.keys()
    return [f"alert {alert_id} not on the topics" for alert_id in sorted(current.alerts.keys() - expected)]


def relationship_differences(current: CurrentView, projection: RelationshipProjection) -> list[str]:
    """Which fields of the relationship do. One of which nothing is known need not be kept."""
    empty = Relationship(relationship_id=projection.relationship.relationship_id)
    if current.relationship is None and projection.relationship == empty:
        return []
    return _field_differences(current.relationship, projection.relationship)


def alert_differences(current: CurrentView, alert: Alert) -> list[str]:
    """Which fields of the alert do."""
    return _field_differences(current.alerts.get(alert.id), expected_alert(alert, current))


def expected_alert(alert: Alert, current: CurrentView) -> Alert:
    """With what the clinician did about it, as far as that can be read."""
    stored = _parse(Alert, current.alerts.get(alert.id))
    return (
        with_dispositions_of(alert, stored)
        if stored is not None and stored.relationship_id == alert.relationship_id
        else alert
    )


def version_of(document: Document | None) -> int:
    """The version of a document as it is kept; 0 where it has none."""
    version = document.get("v") if document else None
    return version if isinstance(version, int) else 0


def _field_differences(document: Document | None, expected: BaseModel) -> list[str]:
    if document is None:
        return ["missing"]
    stored = _parse(type(expected), document)
    if stored is None:
        return ["unreadable"]
    expected_fields = expected.model_dump()
    computed = type(expected).model_computed_fields
    found = [
        name
        for name in expected_fields
        if name not in computed and (name not in document or getattr(stored, name) != getattr(expected, name))
    ]
    found += [name for name in computed if document.get(name) != expected_fields[name]]
    # Whether a resolved alert has still something to rest on is looked at no more.
    return [] if found == ["supported"] and expected_fields.get("status") == "resolved" else found


def _parse(model: type[T], document: Document | None) -> T | None:
    try:
        return None if document is None else model.model_validate(document)
    except ValidationError:
        return None


def _to_document(task_id: str, state: RebuiltState) -> Document:
    return {
        "_id": state.relationship,
        "share": task_id,
        "relationship": state.projection.relationship.model_dump(),
        "alerts": [alert.model_dump() for alert in state.projection.alerts.values()],
        "positions": [[topic, offset] for topic, offset in state.offsets.items()],
        "differs": list(state.differences),
    }


def _from_document(document: Document) -> RebuiltState:
    alerts = [Alert.model_validate(alert) for alert in document["alerts"]]
    projection = RelationshipProjection(
        Relationship.model_validate(document["relationship"]), {alert.id: alert for alert in alerts}
    )
    return RebuiltState(projection, dict(document["positions"]), tuple(document["differs"]))
