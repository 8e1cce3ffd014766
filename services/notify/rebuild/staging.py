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
from services.notify.domain.projection import View, with_acts_of
from services.notify.domain.relationship import Relationship
from services.notify.store.alerts import ALERTS
from shared.events import ClinicianRegistered, ClinicianUpdated
from shared.kafka.topic_reader import Positions
from shared.mongo.client import Document, Mongo, unavailable

T = TypeVar("T", bound=BaseModel)
_NUMBERS = ["int", "long"]


@dataclass(frozen=True, slots=True)
class There:
    """What the database holds of one relationship."""

    relationship: Document | None = None
    alerts: dict[UUID, Document] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What ought to stand in the view, as of these positions on the topics, and what stands there otherwise."""

    view: View
    positions: Positions
    differs: tuple[str, ...]

    @property
    def relationship(self) -> UUID:
        return self.view.relationship.relationship_id


class Shadow:
    """The view as it stands, and what stands beside it."""

    def __init__(self, mongo: Mongo) -> None:
        self._relationships = mongo["relationships"]
        self._alerts = mongo[ALERTS]
        self._clinicians = mongo["clinicians"]
        self._rebuilt = mongo["rebuilt"]

    async def prepare(self) -> None:
        """Create the index."""
        with unavailable():
            await self._rebuilt.create_index("share", name="share")

    async def there(self, projections: Mapping[UUID, View]) -> dict[UUID, There]:
        """What is kept of these relationships, and under the ids of their alerts."""
        relationship_by_alert = {alert: r for r, projection in projections.items() for alert in projection.alerts}
        conditions = [{"relationship_id": {"$in": list(projections)}}, {"_id": {"$in": list(relationship_by_alert)}}]
        with unavailable():
            relationships = await self._relationships.find({"_id": {"$in": list(projections)}}).to_list(None)
            alerts = await self._alerts.find({"$or": conditions}).to_list(None)
        documents = {document["_id"]: document for document in relationships}
        found = {r: There(documents.get(r)) for r in projections}
        for document in alerts:
            found[relationship_by_alert.get(document["_id"]) or document["relationship_id"]].alerts[document["_id"]] = (
                document
            )
        return found

    async def make_writable(self, projections: Mapping[UUID, View]) -> None:
        """Where a version is no number it is none, so that the first write can be the next one."""
        invalid = {"$exists": True, "$not": {"$type": _NUMBERS}}
        alerts = [alert for projection in projections.values() for alert in projection.alerts]
        for collection, ids in ((self._relationships, list(projections)), (self._alerts, alerts)):
            with unavailable():
                await collection.update_many({"_id": {"$in": ids}, "v": invalid}, {"$unset": {"v": ""}})

    async def write_beside(self, task_id: str, states: Sequence[Rebuilt]) -> None:
        """Write what differs beside the view."""
        if states:
            writes = [ReplaceOne({"_id": state.relationship}, _beside(task_id, state), upsert=True) for state in states]
            with unavailable():
                await self._rebuilt.bulk_write(writes, ordered=False)

    async def beside(self, task_id: str, most: int) -> list[Rebuilt]:
        """Some of what was written beside for this share."""
        with unavailable():
            found = await self._rebuilt.find({"share": task_id}).to_list(most)
        return [_rebuilt(document) for document in found]

    async def forget(self, relationships: Iterable[UUID]) -> None:
        """These are in place, and what follows is told."""
        with unavailable():
            await self._rebuilt.delete_many({"_id": {"$in": list(relationships)}})

    async def forget_all(self) -> None:
        """Give up what is written beside."""
        with unavailable():
            await self._rebuilt.delete_many({})

    async def page(self, after: UUID | None, most: int) -> list[UUID]:
        """The next relationships of the view, by id."""
        query: Document = {} if after is None else {"_id": {"$gt": after}}
        with unavailable():
            found = await self._relationships.find(query, {"_id": 1}).sort("_id", 1).limit(most).to_list(None)
        return [document["_id"] for document in found]

    async def clinicians(self, ids: Collection[UUID]) -> dict[UUID, Document]:
        """What is kept of these clinicians."""
        with unavailable():
            found = await self._clinicians.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {document["_id"]: document for document in found}

    async def put_right(self, told: ClinicianRegistered | ClinicianUpdated, stored: Document | None) -> None:
        """Keep what was told last of a clinician, unless somebody has just kept something newer."""
        guard: Document = {"_id": told.clinician_id}
        if stored is not None:
            guard["told_at"] = stored.get("told_at")
        update = {"$set": {"time_zone": told.time_zone, "told_at": told.occurred_at}}
        with unavailable():
            await self._clinicians.update_one(guard, update, upsert=stored is None)


def differences(current: There, projection: View) -> list[str]:
    """Which parts are not as they ought to be: their names, never what is in them."""
    found = relationship_differs(current, projection)
    for alert_id, alert in sorted(projection.alerts.items()):
        found += [f"alert {alert_id} {name}" for name in alert_differs(current, alert)]
    if projection.relationship.erased:
        found += [f"alert {alert_id} not forgotten" for alert_id in sorted(current.alerts)]
    return found


def strangers(current: There, projection: View) -> list[str]:
    """The alerts that are kept and that the topics know nothing of; a rebuild leaves them alone."""
    expected = current.alerts.keys() if projection.relationship.erased else projection.alerts.keys()
    return [f"alert {alert_id} not on the topics" for alert_id in sorted(current.alerts.keys() - expected)]


def relationship_differs(current: There, projection: View) -> list[str]:
    """Which fields of the relationship do. One of which nothing is known need not be kept."""
    empty = Relationship(relationship_id=projection.relationship.relationship_id)
    if current.relationship is None and projection.relationship == empty:
        return []
    return _fields(current.relationship, projection.relationship)


def alert_differs(current: There, alert: Alert) -> list[str]:
    """Which fields of the alert do."""
    return _fields(current.alerts.get(alert.id), as_it_ought_to_be(alert, current))


def as_it_ought_to_be(alert: Alert, current: There) -> Alert:
    """With what the clinician did about it, as far as that can be read."""
    stored = _read(Alert, current.alerts.get(alert.id))
    return (
        with_acts_of(alert, stored) if stored is not None and stored.relationship_id == alert.relationship_id else alert
    )


def version_of(document: Document | None) -> int:
    """The version of a document as it is kept; 0 where it has none."""
    version = document.get("v") if document else None
    return version if isinstance(version, int) else 0


def _fields(document: Document | None, expected: BaseModel) -> list[str]:
    if document is None:
        return ["missing"]
    stored = _read(type(expected), document)
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


def _read(kind: type[T], document: Document | None) -> T | None:
    try:
        return None if document is None else kind.model_validate(document)
    except ValidationError:
        return None


def _beside(task_id: str, state: Rebuilt) -> Document:
    return {
        "_id": state.relationship,
        "share": task_id,
        "relationship": state.view.relationship.model_dump(),
        "alerts": [alert.model_dump() for alert in state.view.alerts.values()],
        "positions": [[topic, offset] for topic, offset in state.positions.items()],
        "differs": list(state.differs),
    }


def _rebuilt(document: Document) -> Rebuilt:
    alerts = [Alert.model_validate(alert) for alert in document["alerts"]]
    projection = View(Relationship.model_validate(document["relationship"]), {alert.id: alert for alert in alerts})
    return Rebuilt(projection, dict(document["positions"]), tuple(document["differs"]))
