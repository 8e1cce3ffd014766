"""A notify service that has sent its messages, its rebuild, and every kind of damage to its view."""

from datetime import UTC, datetime
from functools import partial
from uuid import UUID, uuid4, uuid5

from services.notify.settings import Settings
from shared.events import ClinicianRegistered, Event
from shared.mongo.client import Document, Mongo
from tests.support.rupture_builder import RuptureBuilder
from tests.support.service_process import ServiceRunner

RELATIONSHIP_COUNT, CLINICIAN_COUNT = 60, 5
NOW = datetime.now(UTC)


def create_builder(row: int) -> RuptureBuilder:
    return RuptureBuilder(NOW, UUID(int=row % 5 + 1), relationship_id=uuid5(UUID(int=9), f"strained {row}"))


def relationship_events(row: int) -> list[Event]:
    """In turn: an open, escalated, repaired and retracted episode, and a client who is erased or a second episode."""
    s = create_builder(row)
    courses: list[list[Event]] = [
        [],
        [s.changed(4, "urgent"), s.updated(4, 0)],
        [s.repaired(4), s.updated(4)],
        [s.updated(4)],
        [s.erased()] if row < 10 else [s.suspected(4, "watch", episode=1), s.updated(4, 1)],
    ]
    first_events: list[Event] = [s.started(), s.scheduled(2), s.suspected(3), s.updated(3, 0)]
    return [*first_events, *courses[row % len(courses)], s.cancelled(2)]


def clinician_registered(number: int) -> ClinicianRegistered:
    return ClinicianRegistered(
        id=UUID(int=number),
        occurred_at=NOW,
        clinician_id=UUID(int=number),
        clinic_id=UUID(int=1),
        time_zone="Asia/Tokyo",
    )


class PreparedService:
    """A service that has handled all events and sent all messages; clinicians have acknowledged and resolved alerts."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.mongo = Mongo(settings.mongodb_uri, settings.mongodb_database)
        runner = ServiceRunner(
            "notify", settings.kafka_bootstrap_servers, settings.mongodb_uri, settings.mongodb_database
        )
        self.start, self.command, self.serve = runner.start, runner.run_command, runner.serve
        self.wait_until_caught_up = runner.wait_until_caught_up
        self.kill_rebuild_in_each_phase = partial(runner.kill_rebuild_in_each_phase, self.mongo)

    async def view(self) -> dict[str, list[Document]]:
        """The documents of the view, without versions, write ids and outbox entries."""
        return {
            name: [
                {key: value for key, value in document.items() if key not in ("v", "written", "owed")}
                for document in await self.mongo[name].find().sort("_id", 1).to_list(None)
            ]
            for name in ("relationships", "alerts", "clinicians")
        }

    async def underivable_documents(self) -> list[Document]:
        """The documents that cannot be derived from the topics."""
        return [
            *await self.mongo["deliveries"].find().sort("_id", 1).to_list(None),
            *await self.mongo["channels"].find().sort("_id", 1).to_list(None),
        ]


async def is_nothing_due(prepared_service: PreparedService) -> bool:
    return not await prepared_service.mongo["deliveries"].count_documents({"next_at": {"$exists": True}})


async def is_outbox_empty(prepared_service: PreparedService) -> bool:
    return not await prepared_service.mongo["alerts"].count_documents({"owed.0": {"$exists": True}})


async def damage(prepared_service: PreparedService) -> None:
    """Damage the view in every way that a rebuild can repair without taking an open alert from anybody."""
    relationships, alerts = prepared_service.mongo["relationships"], prepared_service.mongo["alerts"]
    await relationships.delete_one({"_id": create_builder(0).relationship_id})
    await relationships.update_one({"_id": create_builder(1).relationship_id}, {"$set": {"open_episode_id": uuid4()}})
    await relationships.update_one({"_id": create_builder(2).relationship_id}, {"$set": {"appointments": 7}})
    await alerts.delete_one({"_id": create_builder(5).alert_id()})  # acknowledged and resolved
    await alerts.update_one({"_id": create_builder(6).alert_id()}, {"$set": {"resolved.useful": False}})
    await alerts.update_one(
        {"_id": create_builder(7).alert_id()}, {"$set": {"said.severity": "watch"}, "$unset": {"v": ""}}
    )
    await alerts.update_one({"_id": create_builder(11).alert_id()}, {"$set": {"said": "nothing", "v": "two"}})
    await prepared_service.mongo["clinicians"].update_one({"_id": UUID(int=1)}, {"$set": {"time_zone": "Moon/Crater"}})
