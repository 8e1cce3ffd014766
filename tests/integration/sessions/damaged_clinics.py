"""Clinics as the topics have them, and what can be wrong with the stored ones."""

from datetime import UTC, datetime
from uuid import UUID, uuid5

from shared.events import ClinicUpdated, Event
from shared.mongo.client import Collection

CLINIC_IDS = [uuid5(UUID(int=5), f"clinic {number}") for number in range(4)]


def clinic_event(clinic_id: UUID, name: str, day: int) -> Event:
    return ClinicUpdated(
        id=uuid5(clinic_id, name),
        occurred_at=datetime(2026, 1, day, tzinfo=UTC),
        clinic_id=clinic_id,
        name=name,
        time_zone="Europe/Berlin",
        crisis_contact="the duty desk",
        crisis_numbers=("112",),
    )


def clinic_events() -> list[Event]:
    """Two events about each clinic, the newer one first."""
    return [clinic_event(clinic_id, name, day) for clinic_id in CLINIC_IDS for name, day in (("Oak", 2), ("Elm", 1))]


async def damage_clinics(clinics: Collection) -> dict[UUID, str]:
    """Damage each clinic in another way; return the expected difference of each."""
    await clinics.update_one({"_id": CLINIC_IDS[0]}, {"$set": {"name": "Elm"}, "$unset": {"v": ""}})
    await clinics.update_one({"_id": CLINIC_IDS[1]}, {"$set": {"crisis_numbers": []}})
    await clinics.update_one({"_id": CLINIC_IDS[2]}, {"$set": {"updated_at": "today"}})
    await clinics.delete_one({"_id": CLINIC_IDS[3]})
    return dict(zip(CLINIC_IDS, ("version", "crisis_numbers", "unreadable", "missing"), strict=True))
