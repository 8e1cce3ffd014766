"""The field names of sessions's documents in MongoDB, where they differ from the names in the code."""

from shared.mongo.stored_names import StoredNames

STORED_NAMES = StoredNames(
    {
        "feedback.client.used_token_hash": "feedback.client.answered_with",
        "feedback.clinician.used_token_hash": "feedback.clinician.answered_with",
    }
)
