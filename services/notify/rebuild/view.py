"""The view of notify: relationships with their alerts, the time zones of clinicians, and the staff of clinics."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from services.notify.delivery.planner import DeliveryPlanner
from services.notify.domain.alert import Alert, raised_events
from services.notify.domain.projection import RelationshipProjection, fold_forward
from services.notify.domain.relationship import Relationship
from services.notify.rebuild.clinicians import Clinicians
from services.notify.rebuild.comparison import (
    CurrentView,
    compare,
    compare_alert,
    compare_relationship,
    expected_alert,
    list_losses,
    list_unexpected_alerts,
    retained_alerts,
)
from services.notify.store.mongo import ALERTS, MongoStore
from services.notify.store.stored_names import STORED_NAMES
from shared.events import Event, RelationshipEvent
from shared.mongo.client import Document, translate_errors
from shared.outbox.documents import Versioned
from shared.rebuild.history import History, SliceReader
from shared.rebuild.projection import ProjectionView, about_relationships, remove_invalid_versions, version_of
from shared.rebuild.view import Counts, Difference, StagedDocument, ViewResources, list_values, merge_pages
from shared.staff.rebuild import STAFF_CORRECTED, StaffDocuments

CLINICIANS_CORRECTED = "clinicians corrected"


class NotifyView(ProjectionView[RelationshipProjection, CurrentView]):
    """Everything that notify derives from the topics."""

    subjects = "relationships, clinicians and clinics"

    def __init__(
        self, resources: ViewResources, store: MongoStore, planner: DeliveryPlanner, alert_retention: timedelta
    ) -> None:
        super().__init__(resources.mongo["relationships"], resources.reader)
        self._alert_retention = alert_retention
        self._alerts = resources.mongo[ALERTS]
        self._clinicians = Clinicians(resources.mongo)
        self._staff = StaffDocuments(resources.mongo)
        self._store = store
        self._planner = planner
        self._publish = resources.publish

    async def create_indexes(self) -> None:
        await self._store.create_indexes()

    async def list_ids(self, after: UUID | None, limit: int) -> list[UUID]:
        relationships = await super().list_ids(after, limit)
        of_alerts = await list_values(self._alerts, "relationship_id", after, limit)
        clinicians = await self._clinicians.list_ids(after, limit)
        return merge_pages(limit, relationships, of_alerts, clinicians, await self._staff.list_ids(after, limit))

    async def find_differences(self, histories: Mapping[UUID, History]) -> list[Difference]:
        wrong_clinicians = await self._clinicians.find_differences(histories)
        wrong_staff = await self._staff.find_differences(histories)
        return [*wrong_clinicians, *wrong_staff, *await super().find_differences(about_relationships(histories))]

    async def stage(
        self, slice_reader: SliceReader, page: Mapping[UUID, History]
    ) -> tuple[Sequence[StagedDocument], Counts]:
        corrected = Counter({CLINICIANS_CORRECTED: await self._clinicians.correct(page)})
        corrected[STAFF_CORRECTED] = await self._staff.correct(slice_reader, page)
        documents, counts = await super().stage(slice_reader, about_relationships(page))
        return documents, counts + corrected

    def create_empty(self, id: UUID) -> RelationshipProjection:
        return RelationshipProjection(Relationship(relationship_id=id))

    def fold_forward(self, projection: RelationshipProjection, events: Sequence[Event]) -> RelationshipProjection:
        return fold_forward(projection, [event for event in events if isinstance(event, RelationshipEvent)])

    async def load_current(self, projections: Mapping[UUID, RelationshipProjection]) -> Mapping[UUID, CurrentView]:
        relationship_by_alert = {alert: r for r, projection in projections.items() for alert in projection.alerts}
        conditions = [{"relationship_id": {"$in": list(projections)}}, {"_id": {"$in": list(relationship_by_alert)}}]
        with translate_errors():
            relationships = await self._relationships.find({"_id": {"$in": list(projections)}}).to_list(None)
            alerts = await self._alerts.find({"$or": conditions}).to_list(None)
        documents = {document["_id"]: document for document in relationships}
        # After the alerts were read: what was removed before was past retention by this time as well.
        retained_since = await self._store.now() - self._alert_retention
        current = {r: CurrentView(documents.get(r), {}, retained_since) for r in projections}
        for document in alerts:
            r = relationship_by_alert.get(document["_id"]) or document["relationship_id"]
            current[r].alerts[document["_id"]] = document
        return current

    def compare(self, projection: RelationshipProjection, current: CurrentView) -> list[str]:
        return compare(projection, current)

    def list_unexpected(self, projection: RelationshipProjection, current: CurrentView) -> list[str]:
        return list_unexpected_alerts(projection, current)

    def list_losses(self, projection: RelationshipProjection, current: CurrentView) -> list[str]:
        return list_losses(projection, current)

    async def remove_invalid_versions(self, projections: Mapping[UUID, RelationshipProjection]) -> None:
        alerts = [alert for projection in projections.values() for alert in projection.alerts]
        await remove_invalid_versions(self._relationships, list(projections))
        await remove_invalid_versions(self._alerts, alerts)

    async def save(
        self, projections: Mapping[UUID, RelationshipProjection], current: Mapping[UUID, CurrentView]
    ) -> set[UUID]:
        conflicts = await self._save_relationships(projections, current)
        conflicts |= await self._save_alerts({r: projections[r] for r in projections.keys() - conflicts}, current)
        await self._store.erase_alerts([r for r, projection in projections.items() if projection.relationship.erased])
        alerts = [
            expected_alert(alert, current[r])
            for r, projection in projections.items()
            if r not in conflicts
            for alert in retained_alerts(projection, current[r]).values()
        ]
        await self._planner.plan(alerts)
        await self._publish([event for alert in alerts for _, event in raised_events(alert)])
        return conflicts

    def to_fields(self, projection: RelationshipProjection) -> Document:
        alerts = [STORED_NAMES.to_document(alert) for alert in projection.alerts.values()]
        return {"relationship": STORED_NAMES.to_document(projection.relationship), "alerts": alerts}

    def from_fields(self, fields: Document) -> RelationshipProjection:
        alerts = [STORED_NAMES.from_document(Alert, alert) for alert in fields["alerts"]]
        relationship = STORED_NAMES.from_document(Relationship, fields["relationship"])
        return RelationshipProjection(relationship, {alert.id: alert for alert in alerts})

    async def _save_relationships(
        self, projections: Mapping[UUID, RelationshipProjection], current: Mapping[UUID, CurrentView]
    ) -> set[UUID]:
        changed = [
            Versioned(r, projection.relationship, version_of(current[r].relationship))
            for r, projection in projections.items()
            if compare_relationship(projection, current[r])
        ]
        return await self._store.save_relationships(changed)

    async def _save_alerts(
        self, projections: Mapping[UUID, RelationshipProjection], current: Mapping[UUID, CurrentView]
    ) -> set[UUID]:
        changed = [
            Versioned(alert.id, expected_alert(alert, current[r]), version_of(current[r].alerts.get(alert.id)))
            for r, projection in projections.items()
            for alert in retained_alerts(projection, current[r]).values()
            if compare_alert(alert, current[r])
        ]
        conflicts = await self._store.save_alerts(changed)
        return {alert.value.relationship_id for alert in changed if alert.id in conflicts}
