"""The field names of intake's documents in MongoDB, where they differ from the names in the code."""

from shared.mongo.stored_names import StoredNames

STORED_NAMES = StoredNames({"last_event_at": "told_at"})
