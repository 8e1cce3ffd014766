"""The field names of notify's documents in MongoDB, where they differ from the names in the code."""

from shared.mongo.stored_names import StoredNames

STORED_NAMES = StoredNames(
    {
        "appointments.cancelled": "appointments.called_off",
        "appointments.updated_at": "appointments.told_at",
        "episode": "said",
        "episode.status": "said.episode",
        "is_active": "unsettled",
    }
)
