"""Stored documents keep their field names, whatever the code calls the fields."""

from copy import deepcopy
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.sessions.domain.session import Session
from services.sessions.store.stored_names import STORED_NAMES
from shared.outbox.documents import Documents

STARTS_AT, ENDED_AT, DUE_AT, ANSWERED_AT = (
    datetime(2026, 3, 2, 10, tzinfo=UTC),
    datetime(2026, 3, 2, 10, 50, tzinfo=UTC),
    datetime(2026, 3, 5, 10, 50, tzinfo=UTC),
    datetime(2026, 3, 2, 11, tzinfo=UTC),
)
STORED_SESSION: dict[str, Any] = {
    "session_id": UUID(int=1),
    "relationship_id": UUID(int=2),
    "clinic_id": UUID(int=9),
    "starts_at": STARTS_AT,
    "minutes": 50,
    "scheduled_at": datetime(2026, 2, 23, 10, tzinfo=UTC),
    "moves": 0,
    "outcome": {"what": "completed", "ended_at": ENDED_AT, "minutes": 50},
    "corrections": (),
    "feedback": {
        "client": {
            "status": "answered",
            "due_at": DUE_AT,
            "lapses_at": DUE_AT,
            "token_hash": "c2",
            "earlier_token_hashes": [],
            "expires_at": DUE_AT,
            "answered_with": "c1",
            "answer": {
                "ratings": {"trust": 8.0},
                "tension": None,
                "talked_about": None,
                "instrument": None,
                "outcome": None,
                "language": "en",
            },
            "given_at": ANSWERED_AT,
            "collected_by": "form",
            "amendments": 0,
        },
        "clinician": {
            "status": "awaiting",
            "due_at": DUE_AT,
            "lapses_at": DUE_AT,
            "token_hash": "t2",
            "earlier_token_hashes": ["t0", "t1"],
            "expires_at": DUE_AT,
            "answered_with": None,
            "answer": None,
            "given_at": None,
            "collected_by": None,
            "amendments": 0,
        },
    },
    "next_lapse_at": DUE_AT,
    "link_hashes": ["c2", "c1", "t0", "t1", "t2"],
}
"""As databases hold it."""


def test_a_stored_session_is_loaded_and_written_with_the_same_field_names() -> None:
    unused: Any = None
    sessions = Documents(unused, Session, unused, unused, STORED_NAMES)

    session = sessions.parse({"_id": UUID(int=1), "v": 5, **STORED_SESSION})

    assert session.feedback["client"].used_token_hash == "c1"
    assert sessions.dump(session) == STORED_SESSION


def test_a_session_that_an_older_version_stored_is_loaded_without_a_clinic() -> None:
    unused: Any = None
    sessions = Documents(unused, Session, unused, unused, STORED_NAMES)
    stored = deepcopy(STORED_SESSION)
    for request in stored["feedback"].values():
        del request["earlier_token_hashes"], request["collected_by"]
    del stored["feedback"]["client"]["answer"]["language"], stored["clinic_id"]

    session = sessions.parse({"_id": UUID(int=1), "v": 5, **stored})

    assert session.clinic_id is None
    assert session.feedback["client"].collected_by is None
    assert session.link_hashes == ["c2", "c1", "t2"]
