"""Alerts and relationships keep the field names under which databases hold them."""

from datetime import UTC, datetime, timedelta
from functools import reduce
from uuid import uuid5

import pytest
from pydantic import ValidationError

from services.notify.domain import relationship as relationships
from services.notify.domain.alert import Alert, fold_alerts
from services.notify.domain.relationship import HistoryEvent, Relationship
from services.notify.store.stored_names import STORED_NAMES
from shared.events.alerts import old_disposition_id
from shared.mongo.client import Document
from tests.support.dispositions import resolve
from tests.support.rupture_builder import RuptureBuilder

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)


def create_relationship(s: RuptureBuilder) -> Relationship:
    events: list[HistoryEvent] = [
        s.started(),
        s.scheduled(2),
        s.scheduled(4, session=1),
        s.cancelled(4, session=1),
        s.updated(3, 0),
    ]
    return reduce(relationships.evolve, events, Relationship(relationship_id=s.relationship_id))


def create_alert(s: RuptureBuilder) -> Alert:
    (alert,) = fold_alerts({}, [s.suspected(3)], create_relationship(s)).values()
    return alert


def stored_relationship(s: RuptureBuilder) -> Document:
    """The document of that relationship in a database."""
    return {
        "relationship_id": s.relationship_id,
        "clinic_id": s.clinic_id,
        "clinician_id": s.clinician_id,
        "case_code": "AB-12",
        "started_at": NOW - timedelta(days=90),
        "ended_at": None,
        "end_correction": 0,
        "erased": False,
        "consent_given_at": None,
        "consent_withdrawn_at": None,
        "alliance_version": 3,
        "open_episode_id": s.episode_id(),
        "appointments": [
            {
                "session_id": uuid5(s.relationship_id, "session 0"),
                "starts_at": NOW + timedelta(days=2),
                "told_at": NOW - timedelta(hours=1),
                "called_off": False,
                "correction": 0,
            },
            {
                "session_id": uuid5(s.relationship_id, "session 1"),
                "starts_at": NOW + timedelta(days=4),
                "told_at": NOW - timedelta(hours=1),
                "called_off": True,
                "correction": 0,
            },
        ],
    }


def stored_step(at: datetime) -> Document:
    return {"version": 3, "at": at, "recorded_at": None, "retrospective": False, "has_later_sign": False}


def stored_alert(s: RuptureBuilder) -> Document:
    """The document of that alert in a database."""
    last_sign_at = NOW - timedelta(days=1)
    return {
        "episode_id": s.episode_id(),
        "relationship_id": s.relationship_id,
        "clinic_id": s.clinic_id,
        "clinician_id": s.clinician_id,
        "said": {
            "version": 3,
            "episode": "open",
            "severity": "concern",
            "first_sign_at": NOW - timedelta(days=2),
            "last_sign_at": last_sign_at,
            "evidence": tuple(evidence.model_dump() for evidence in s.suspected(3).evidence),
            "end_reason": None,
            "ended": None,
            "superseded_by": None,
            "shift": None,
            "ended_at": None,
            "probability": None,
            "base_rate": None,
        },
        "supported": True,
        "consent_withdrawn": False,
        "steps": {"concern": stored_step(last_sign_at)},
        "acknowledged": None,
        "resolved": None,
        "dispositions": (),
        "status": "open",
        "unsettled": True,
        "place": -1,
    }


def test_a_relationship_is_stored_under_the_names_that_databases_hold() -> None:
    s = RuptureBuilder(NOW)

    assert STORED_NAMES.to_document(create_relationship(s)) == stored_relationship(s)
    assert STORED_NAMES.from_document(Relationship, stored_relationship(s)) == create_relationship(s)


def test_an_alert_is_stored_under_the_names_that_databases_hold() -> None:
    s = RuptureBuilder(NOW)

    assert STORED_NAMES.to_document(create_alert(s)) == stored_alert(s)
    assert STORED_NAMES.from_document(Alert, stored_alert(s)) == create_alert(s)


def test_an_alert_that_an_older_version_stored_has_no_probability() -> None:
    s = RuptureBuilder(NOW)
    document = stored_alert(s)
    without = {k: v for k, v in document["said"].items() if k not in ("probability", "base_rate")}

    assert STORED_NAMES.from_document(Alert, {**document, "said": without}) == create_alert(s)


def test_an_older_version_and_this_one_read_each_others_dispositions() -> None:
    """Older versions store the last disposition of each kind, without an id, and know no others."""
    s = RuptureBuilder(NOW)
    by_older_version = {"at": NOW, "severity": "concern", "useful": None}
    document = {k: v for k, v in stored_alert(s).items() if k != "dispositions"} | {"acknowledged": by_older_version}

    read = STORED_NAMES.from_document(Alert, document)
    resolved, _ = resolve(read, True, NOW)
    written = STORED_NAMES.to_document(resolved)
    acknowledged_again = {**written, "acknowledged": {**by_older_version, "severity": "urgent"}}

    assert read.status == "acknowledged"
    assert [d.id for d in read.dispositions] == [old_disposition_id(s.alert_id(), "acknowledged", "concern")]
    assert written["acknowledged"] == by_older_version
    assert written["resolved"] == {"at": NOW, "severity": "concern", "useful": True}
    assert STORED_NAMES.from_document(Alert, written) == resolved
    assert len(STORED_NAMES.from_document(Alert, acknowledged_again).dispositions) == 3


def test_dispositions_that_cannot_be_read_make_a_document_unreadable() -> None:
    s = RuptureBuilder(NOW)

    damages: list[Document] = [
        {"dispositions": [{}]},
        {"dispositions": 3},
        {"acknowledged": {}},
        {"acknowledged": "yes"},
    ]
    for damaged in damages:
        with pytest.raises(ValidationError):
            STORED_NAMES.from_document(Alert, stored_alert(s) | damaged)
