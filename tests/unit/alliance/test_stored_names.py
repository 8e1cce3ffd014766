"""Stored states keep their field names, and the states of earlier versions stay readable."""

import json
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from hypothesis import given

from services.alliance.domain.fold import fold, fold_forward
from services.alliance.domain.policy.policy import DEFAULT_POLICY
from services.alliance.domain.presentation.summary import summarize
from services.alliance.domain.state.alliance import Alliance
from services.alliance.domain.state.history import HistoryEvent
from services.alliance.store.stored_names import STORED_NAMES, dump_alliance, load_alliance
from tests.unit.alliance.histories import BUILDER, histories

EPISODE: dict[str, Any] = {
    "id": str(UUID(int=5)),
    "first_sign_at": "2026-02-01T12:00:00Z",
    "last_sign_at": "2026-02-08T12:00:00Z",
    "severity": "concern",
    "evidence": [
        {
            "detector": "sudden_drop",
            "strength": 1.2,
            "session_id": str(UUID(int=6)),
            "occurred_at": "2026-02-01T12:00:00Z",
            "numbers": {"rating": 50.0, "expected": 89.0, "low": 82.0, "high": 96.0, "session": 9},
        }
    ],
    "changes": 1,
    "calm": 1,
}
STORED_BEFORE: dict[str, Any] = {
    "last": ["2026-02-08T12:00:00Z", 7, str(UUID(int=1))],
    "clinic_id": str(UUID(int=2)),
    "clinician_id": str(UUID(int=3)),
    "case_code": "AB-12",
    "started_at": "2026-01-02T10:00:00Z",
    "watched": True,
    "sessions": 10,
    "missed": 1,
    "away": 1,
    "lapsed": 1,
    "answered": 9,
    "heard_since": "2026-01-05T12:00:00Z",
    "withdrawal": 0.5,
    "belief": 0.62,
    "client": {
        "ratings": 10,
        "usual": 8,
        "total": 712.0,
        "rolling": 71.5,
        "scatter": 40.0,
        "last": 62.0,
        "last_at": "2026-02-08T12:00:00Z",
        "falling": 2,
        "lately": [90.0, 89.0, 90.0, 50.0, 62.0],
    },
    "beside": {"elements": {"trust": {"count": 8, "total": 12.0}}, "forms": 8, "scatter": 30.0},
    "levels": {"trust": 71.0},
    "between": {"count": 3, "total": 15.0},
    "recent": [
        {
            "session_id": str(UUID(int=6)),
            "at": "2026-02-01T10:00:00Z",
            "number": 9,
            "outcome": "held",
            "client": 50.0,
            "answered": ["client"],
            "denied": ["client"],
        }
    ],
    "open": EPISODE,
}
"""As version 0.2 wrote it: one probability, a sum for withdrawal, whole counts."""


def test_a_state_of_the_version_before_is_read() -> None:
    alliance = load_alliance(json.dumps(STORED_BEFORE))

    assert (alliance.client.ratings, alliance.client.baseline_weight, alliance.client.baseline_mean) == (10, 0, None)
    assert (alliance.absences, alliance.feedback_lapsed, alliance.feedback_received) == (1, 1, 9)
    assert (alliance.element_gaps.totals, alliance.element_gaps.weight) == ({}, 0)
    assert alliance.recent_sessions[0].attendance == "held"
    assert alliance.open_episode is not None
    assert (alliance.open_episode.id, alliance.open_episode.change_count) == (UUID(int=5), 1)
    assert (alliance.components, alliance.open_episode.probability, alliance.shifted_level) == ((), None, None)


def test_what_is_shown_of_a_state_of_the_version_before_is_shown_until_it_is_folded_again() -> None:
    summary = summarize(load_alliance(json.dumps(STORED_BEFORE)), DEFAULT_POLICY)

    assert (summary.standing, summary.since) == ("concern", datetime(2026, 2, 1, 12, tzinfo=UTC))
    assert (summary.level, summary.lower_since) == (71.5, None)


def test_a_state_is_stored_under_the_names_that_databases_hold() -> None:
    """An old process reads what a new one writes during an upgrade."""
    events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    for week in range(9):
        events += [BUILDER.completed(week), BUILDER.feedback(week, 9 if week < 8 else 5)]
    events.append(BUILDER.missed(9))

    stored = json.loads(dump_alliance(fold(events, DEFAULT_POLICY)))

    assert stored.keys().isdisjoint(STORED_NAMES)
    assert {"last", "watched", "away", "answered", "heard_since", "beside", "levels", "recent", "open"} <= stored.keys()
    assert {"baseline_weight", "total", "rolling", "scatter", "falling", "lately"} <= stored["client"].keys()
    assert stored["recent"][-1]["outcome"] == "missed"


def test_the_many_numbers_of_a_state_are_stored_without_digits_that_say_nothing() -> None:
    events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    events += [BUILDER.feedback(week, 9 - week % 3, trust=8 - week % 2) for week in range(9)]

    stored = json.loads(dump_alliance(fold(events, DEFAULT_POLICY)))

    assert stored["components"] == [round(probability, 8) for probability in stored["components"]]
    for points in (stored["levels"], stored["beside"]["totals"]):
        assert points == {element: round(number, 3) for element, number in points.items()}
    assert "weights" not in stored["beside"]  # of the elements: every form had all of them


def test_no_two_fields_of_an_alliance_have_one_stored_name() -> None:
    stored = [STORED_NAMES.get(field.name, field.name) for field in fields(Alliance)]

    assert len(set(stored)) == len(stored)


@given(events=histories())
def test_a_stored_state_is_read_as_it_was(events: list[HistoryEvent]) -> None:
    alliance = fold(events, DEFAULT_POLICY)

    assert load_alliance(dump_alliance(alliance)) == alliance


def test_a_stored_state_goes_on_like_the_one_in_memory() -> None:
    events: list[HistoryEvent] = [BUILDER.started(), BUILDER.consent_changed(-0.5, given=True)]
    events += [BUILDER.feedback(week, 2 if week == 8 else 9) for week in range(9)]
    alliance = fold(events, DEFAULT_POLICY)

    next_answer = [BUILDER.feedback(9, 8)]

    assert fold_forward(load_alliance(dump_alliance(alliance)), next_answer, DEFAULT_POLICY) == fold_forward(
        alliance, next_answer, DEFAULT_POLICY
    )
