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

    async def there(self, views: Mapping[UUID, View]) -> dict[UUID, There]:
        """What is kept of these relationships, and under the ids of their alerts."""
        belongs = {alert: r for r, view in views.items() for alert in view.alerts}
        either = [{"relationship_id": {"$in": list(views)}}, {"_id": {"$in": list(belongs)}}]
        with unavailable():
            relationships = await self._relationships.find({"_id": {"$in": list(views)}}).to_list(None)
            alerts = await self._alerts.find({"$or": either}).to_list(None)
        documents = {document["_id"]: document for document in relationships}
        found = {r: There(documents.get(r)) for r in views}
        for document in alerts:
            found[belongs.get(document["_id"]) or document["relationship_id"]].alerts[document["_id"]] = document
        return found

    async def make_writable(self, views: Mapping[UUID, View]) -> None:
        """Where a version is no number it is none, so that the first write can be the next one."""
        broken = {"$exists": True, "$not": {"$type": _NUMBERS}}
        alerts = [alert for view in views.values() for alert in view.alerts]
        for collection, ids in ((self._relationships, list(views)), (self._alerts, alerts)):
            with unavailable():
                await collection.update_many({"_id": {"$in": ids}, "v": broken}, {"$unset": {"v": ""}})

    async def write_beside(self, share: str, rebuilt: Sequence[Rebuilt]) -> None:
        """Write what differs beside the view."""
        if rebuilt:
            writes = [ReplaceOne({"_id": one.relationship}, _beside(share, one), upsert=True) for one in rebuilt]
            with unavailable():
                await self._rebuilt.bulk_write(writes, ordered=False)

    async def beside(self, share: str, most: int) -> list[Rebuilt]:
        """Some of what was written beside for this share."""
        with unavailable():
            found = await self._rebuilt.find({"share": share}).to_list(most)
        return [_rebuilt(document) for document in found]

    async def forget(self, rebuilt: Iterable[UUID]) -> None:
        """These are in place, and what follows is told."""
        with unavailable():
            await self._rebuilt.delete_many({"_id": {"$in": list(rebuilt)}})

    async def forget_all(self) -> None:
        """Give up what is written beside."""
        with unavailable():
            await self._rebuilt.delete_many({})

    async def page(self, after: UUID | None, most: int) -> list[UUID]:
        """The next relationships of the view, by id."""
        further: Document = {} if after is None else {"_id": {"$gt": after}}
        with unavailable():
            found = await self._relationships.find(further, {"_id": 1}).sort("_id", 1).limit(most).to_list(None)
        return [document["_id"] for document in found]

    async def clinicians(self, ids: Collection[UUID]) -> dict[UUID, Document]:
        """What is kept of these clinicians."""
        with unavailable():
            found = await self._clinicians.find({"_id": {"$in": list(ids)}}).to_list(None)
        return {document["_id"]: document for document in found}

    async def put_right(self, told: ClinicianRegistered | ClinicianUpdated, there: Document | None) -> None:
        """Keep what was told last of a clinician, unless somebody has just kept something newer."""
        guard: Document = {"_id": told.clinician_id}
        if there is not None:
            guard["told_at"] = there.get("told_at")
        change = {"$set": {"time_zone": told.time_zone, "told_at": told.occurred_at}}
        with unavailable():
            await self._clinicians.update_one(guard, change, upsert=there is None)


def differences(there: There, view: View) -> list[str]:
    """Which parts are not as they ought to be: their names, never what is in them."""
    found = relationship_differs(there, view)
    for which, alert in sorted(view.alerts.items()):
        found += [f"alert {which} {name}" for name in alert_differs(there, alert)]
    if view.relationship.erased:
        found += [f"alert {which} not forgotten" for which in sorted(there.alerts)]
    return found


def strangers(there: There, view: View) -> list[str]:
    """The alerts that are kept and that the topics know nothing of; a rebuild leaves them alone."""
    known = there.alerts.keys() if view.relationship.erased else view.alerts.keys()
    return [f"alert {which} not on the topics" for which in sorted(there.alerts.keys() - known)]


def relationship_differs(there: There, view: View) -> list[str]:
    """Which fields of the relationship do. One of which nothing is known need not be kept."""
    nothing = Relationship(relationship_id=view.relationship.relationship_id)
    if there.relationship is None and view.relationship == nothing:
        return []
    return _fields(there.relationship, view.relationship)


def alert_differs(there: There, alert: Alert) -> list[str]:
    """Which fields of the alert do."""
    return _fields(there.alerts.get(alert.id), as_it_ought_to_be(alert, there))


def as_it_ought_to_be(alert: Alert, there: There) -> Alert:
    """With what the clinician did about it, as far as that can be read."""
    kept = _read(Alert, there.alerts.get(alert.id))
    return with_acts_of(alert, kept) if kept is not None and kept.relationship_id == alert.relationship_id else alert


def version_of(there: Document | None) -> int:
    """The version of a document as it is kept; 0 where it has none."""
    version = there.get("v") if there else None
    return version if isinstance(version, int) else 0


def _fields(there: Document | None, ought: BaseModel) -> list[str]:
    if there is None:
        return ["missing"]
    kept = _read(type(ought), there)
    if kept is None:
        return ["unreadable"]
    ours = ought.model_dump()
    computed = type(ought).model_computed_fields
    found = [n for n in ours if n not in computed and (n not in there or getattr(kept, n) != getattr(ought, n))]
    found += [n for n in computed if there.get(n) != ours[n]]
    # Whether a resolved alert has still something to rest on is looked at no more.
    return [] if found == ["supported"] and ours.get("status") == "resolved" else found


def _read(kind: type[T], document: Document | None) -> T | None:
    try:
        return None if document is None else kind.model_validate(document)
    except ValidationError:
        return None


def _beside(share: str, one: Rebuilt) -> Document:
    return {
        "_id": one.relationship,
        "share": share,
        "relationship": one.view.relationship.model_dump(),
        "alerts": [alert.model_dump() for alert in one.view.alerts.values()],
        "positions": [[topic, offset] for topic, offset in one.positions.items()],
        "differs": list(one.differs),
    }


def _rebuilt(document: Document) -> Rebuilt:
    alerts = [Alert.model_validate(alert) for alert in document["alerts"]]
    view = View(Relationship.model_validate(document["relationship"]), {alert.id: alert for alert in alerts})
    return Rebuilt(view, dict(document["positions"]), tuple(document["differs"]))
