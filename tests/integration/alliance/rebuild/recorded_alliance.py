"""An alliance service with a recorded history, its rebuild, and every kind of damage to its view."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4, uuid5

from prometheus_client import CollectorRegistry

from evaluation.attune import history_of
from evaluation.simulation.generator import generate_ruptured
from evaluation.simulation.settings import load_settings
from services.alliance.domain.fold import refold
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.rebuild import VIEW_SOURCE
from services.alliance.store.mongo import MongoStore, from_document
from shared.events import AlertReopened, AlertResolved
from shared.kafka.producer import Producer
from shared.mongo.client import Document, Mongo
from tests.support.builders import FIRST_SESSION_AT
from tests.support.service_process import ServiceRunner, join_rebuild

ORDINAL_WORLD = load_settings().world("ordinal").reported
RELATIONSHIP_COUNT, WEEK_COUNT = 120, 16
FIRST_NEW_WEEK, END_NEW_WEEK = 20, 40
"""Weeks of events that are published during a test; none of them is in the future."""


@dataclass
class RecordedAlliance:
    """A Kafka with a history, and an alliance service with its own database."""

    servers: str
    uri: str
    histories: dict[UUID, list[HistoryEvent]]
    database: str = field(default_factory=lambda: f"test_{uuid4().hex}")

    def __post_init__(self) -> None:
        self.mongo = Mongo(self.uri, self.database)
        process_runner = ServiceRunner("alliance", self.servers, self.uri, self.database)
        self.start, self.run_command, self.serve = (
            process_runner.start,
            process_runner.run_command,
            process_runner.serve,
        )
        self.commit_all = process_runner.consume_everything
        self.kill_rebuild_in_each_phase = partial(process_runner.kill_rebuild_in_each_phase, self.mongo)
        self.join_rebuild = partial(join_rebuild, self.servers, self.mongo, VIEW_SOURCE, Policies().digest)
        self.store = MongoStore(self.mongo)

    async def handle(self, producer: Producer, *events: HistoryEvent) -> None:
        """Handle the events and publish the derived ones, as the service does."""
        metrics = Metrics(CollectorRegistry())
        await self.store.create_indexes()
        await AllianceProjector(self.store, producer.publish, Policies(), metrics).handle_batch(events)
        await DispositionRecorder(self.store, Policies(), metrics).handle_batch(
            [event for event in events if isinstance(event, AlertResolved | AlertReopened)]
        )

    async def contents(self) -> dict[str, list[Document]]:
        """The documents of the view, without what depends on how often and why they were written."""
        return {
            name: [
                {key: value for key, value in document.items() if key not in ("v", "retrospective")}
                for document in await self.mongo[name].find().sort("_id", 1).to_list(None)
            ]
            for name in ("facts", "alliances", "judgements", "reopenings")
        }

    async def versions(self) -> dict[UUID, int]:
        return {
            document["_id"]: document["v"]
            for document in await self.mongo["alliances"].find({}, {"v": 1}).to_list(None)
        }

    async def is_fold_of(self, histories: Mapping[UUID, Sequence[HistoryEvent]]) -> bool:
        results = {
            document["_id"]: from_document(document).result
            for document in await self.mongo["alliances"].find().to_list(None)
        }
        return all(results.get(r) == refold(events, DEFAULT_POLICY) for r, events in histories.items())


def history(count: int, weeks: int) -> dict[UUID, list[HistoryEvent]]:
    relationships = generate_ruptured(ORDINAL_WORLD, count, seed=7, appointments=weeks)
    histories = (history_of(relationships, row, uuid5(UUID(int=7), f"client {row}")) for row in range(count))
    return {events[0].relationship_id: events for events in histories}


def resolved_alerts(events: Sequence[HistoryEvent]) -> list[AlertResolved | AlertReopened]:
    """Every alert of the first weeks is resolved, and the first one is reopened."""
    resolved = [
        AlertResolved(
            id=uuid5(episode.episode_id, "resolved"),
            occurred_at=episode.raised_at,
            relationship_id=episode.relationship,
            alert_id=uuid5(episode.episode_id, "alert"),
            episode_id=episode.episode_id,
            clinician_id=UUID(int=1),
            useful=True,
        )
        for episode in replay_episodes(
            [event for event in events if event.occurred_at < FIRST_SESSION_AT + timedelta(weeks=FIRST_NEW_WEEK - 1)],
            DEFAULT_POLICY,
        )
        if episode.is_alert
    ]
    return [*resolved, *(reopened(event) for event in resolved[:1])]


def reopened(event: AlertResolved) -> AlertReopened:
    return AlertReopened(
        id=event.derive_id("reopened"),
        severity="concern",
        disposition_id=event.id,
        **event.model_dump(include={"occurred_at", "relationship_id", "alert_id", "episode_id", "clinician_id"}),
    )


async def damage(recorded: RecordedAlliance) -> dict[str, list[UUID]]:
    """Cause every kind of damage to the database, and return where."""
    r = list(recorded.histories)
    alliances, stored_events = recorded.mongo["alliances"], recorded.mongo["facts"]
    await alliances.update_one({"_id": r[0]}, {"$set": {"state": "{"}})
    await alliances.update_one({"_id": r[1]}, {"$set": {"state": '{"sessions": 99}'}})
    await alliances.update_one({"_id": r[2]}, {"$set": {"concern": 7, "level": -1.0}})
    await alliances.update_one({"_id": r[3]}, {"$unset": {"v": ""}, "$set": {"state": "{}"}})
    await alliances.delete_one({"_id": r[4]})
    await stored_events.delete_many({"r": r[5]})
    await stored_events.delete_one({"_id": recorded.histories[r[6]][7].id})
    await stored_events.update_one({"_id": recorded.histories[r[7]][7].id}, {"$set": {"event": b"gone"}})
    await stored_events.update_one({"_id": recorded.histories[r[8]][7].id}, {"$set": {"r": r[9]}})
    await recorded.mongo["judgements"].delete_many({})
    return {"states": r[:5], "events": r[5:10]}
