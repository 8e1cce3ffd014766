"""A database with a recorded history, and commands on it as operators run them: in processes that print and exit."""

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4, uuid5

from prometheus_client import CollectorRegistry

from evaluation.attune import history_of
from evaluation.simulation.events import FIRST_SESSION_AT
from evaluation.simulation.generator import generate_ruptured
from evaluation.simulation.settings import load_settings
from services.alliance.domain.policy.policy import DEFAULT_POLICY, Policies
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.domain.tuning.replay import replay_episodes
from services.alliance.handlers.dispositions import DispositionRecorder
from services.alliance.handlers.projector import AllianceProjector
from services.alliance.metrics import Metrics
from services.alliance.store.mongo import MongoStore
from shared.events import AlertResolved, Event, RelationshipStarted
from shared.mongo.client import Mongo

ORDINAL_WORLD = load_settings().world("ordinal").reported
CLINIC, OTHER = uuid4(), uuid4()


@dataclass(frozen=True)
class CommandResult:
    """How a process exited, and what it printed."""

    exit_code: int | None
    stdout: str
    stderr: str


@dataclass(frozen=True)
class RecordedDatabase:
    """A database with the history of a service."""

    uri: str
    database: str
    histories: Mapping[UUID, Sequence[HistoryEvent]]
    usefulness: Mapping[UUID, bool]

    async def run_command(self, *argv: str | Path, **environment_overrides: str) -> CommandResult:
        environment = {
            "PATH": os.environ["PATH"],
            "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",  # unreachable: no command needs it
            "MONGODB_URI": self.uri,
            "MONGODB_DATABASE": self.database,
            **environment_overrides,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "services.alliance", *map(str, argv), env=environment, stdout=PIPE, stderr=PIPE
        )
        stdout, stderr = await process.communicate()
        return CommandResult(process.returncode, stdout.decode(), stderr.decode())

    async def content_hash(self) -> str:
        """A hash of the whole database."""
        mongo = Mongo(self.uri, self.database)
        contents: list[Any] = []
        for name in sorted(await mongo.database.list_collection_names()):
            contents += [name, *await mongo[name].find().sort("_id", 1).to_list(None)]
        await mongo.close()
        return sha256(repr(contents).encode()).hexdigest()


def history(count: int) -> dict[UUID, list[HistoryEvent]]:
    """Relationships of three clinicians in one clinic, and three relationships in another."""
    relationships = generate_ruptured(ORDINAL_WORLD, count, seed=3)
    histories: dict[UUID, list[HistoryEvent]] = {}
    for row in range(count):
        events = history_of(relationships, row)
        ids = {"clinic_id": OTHER if row < 3 else CLINIC, "clinician_id": UUID(int=row % 3 + 1)}
        histories[events[0].relationship_id] = [
            event.model_copy(update=ids) if isinstance(event, RelationshipStarted) else event for event in events
        ]
    return histories


async def record_history(uri: str, histories: Mapping[UUID, Sequence[HistoryEvent]]) -> RecordedDatabase:
    """Handle all events as the service does; two of three alerts are called useful."""
    mongo = Mongo(uri, f"test_{uuid4().hex}")
    store, metrics = MongoStore(mongo), Metrics(CollectorRegistry())
    projector, recorder = (
        AllianceProjector(store, _discard_events, Policies(), metrics),
        DispositionRecorder(store, Policies(), metrics),
    )
    await store.create_indexes()
    for events in histories.values():
        await projector.handle_batch(events)
    alerts = [
        alert for events in histories.values() for alert in replay_episodes(events, DEFAULT_POLICY) if alert.is_alert
    ]
    usefulness = {alert.episode_id: bool(number % 3) for number, alert in enumerate(alerts)}
    await recorder.handle_batch(
        [_resolved(alert.relationship, alert.episode_id, usefulness[alert.episode_id]) for alert in alerts]
    )
    await mongo.close()
    return RecordedDatabase(uri, mongo.database.name, histories, usefulness)


async def _discard_events(_events: Sequence[Event]) -> None:
    pass


def _resolved(relationship: UUID, episode: UUID, useful: bool) -> AlertResolved:
    return AlertResolved(
        id=uuid5(episode, "resolved"),
        occurred_at=FIRST_SESSION_AT,
        relationship_id=relationship,
        alert_id=uuid5(episode, "alert"),
        episode_id=episode,
        clinician_id=UUID(int=1),
        useful=useful,
    )
