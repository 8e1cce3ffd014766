"""How notify's documents in MongoDB name fields and outcomes, where that differs from the names in the code."""

from collections.abc import Mapping

from services.notify.domain.routing import DeliveryOutcome
from shared.mongo.stored_names import StoredNames

STORED_NAMES = StoredNames(
    {
        "appointments.cancelled": "appointments.called_off",
        "appointments.scheduled_at": "appointments.told_at",
        "episode": "said",
        "episode.status": "said.episode",
        "is_active": "unsettled",
    }
)
STORED_OUTCOMES: Mapping[DeliveryOutcome, str] = {"rejected": "refused", "unknown": "unsure"}
"""The outcomes of deliveries; all others are stored under their own names."""
