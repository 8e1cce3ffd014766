"""The checks that fail after one thing in a healthy run was corrupted."""

from collections.abc import Callable
from uuid import UUID

from tests.unit.system.chaos.checker.healthy_run import healthy_run
from tests.unit.system.chaos.checker.recorded_run import RecordedRun

Corruption = Callable[[RecordedRun], object]
"""Corrupts one thing in a run."""

ON_TOPIC = "every acknowledged event is on its topic"
NO_DUPLICATES = "no acknowledged event is on its topic under two ids"
NOTHING_UNEXPECTED = "no topic has an event that no client caused"
LAPSES_PUBLISHED = "every lapsed feedback request is published"
DISPOSITIONS_PUBLISHED = "every acknowledgement and resolution of an alert is published once"
NO_CONTRADICTIONS = "no event and no state version is published with two contents"
HISTORY_STORED = "alliance stores every event of the history once, and no other"
STATES_EQUAL_REFOLD = "every state equals the refold"
SCORES_CORRECT = "every score is based on the acknowledged feedback"
STATES_PUBLISHED = "every state is published, and no other"
EPISODES_HAVE_ALERTS = "every episode has one alert with the matching status"
ALERTS_STORED = "notify stores exactly these alerts"
ONE_OPEN_ALERT = "no relationship has two open alerts"
INBOXES_CORRECT = "every inbox shows exactly its alerts"
ALERTS_RAISED_ONCE = "every alert is published once for each severity"
DELIVERED_ONCE = "every alert is delivered once on each required channel"
DELIVERED_TO_CLINICIAN = "every message reached its clinician and every webhook is signed"
NO_CASE_CODES = "no message identifies a client"
OUTBOX_EMPTY = "every outbox is empty"
EVENTS_HAVE_STATE = "every published event has its stored state"
PROJECTIONS_CURRENT = "every projection matches the published events"
STAFF_CURRENT = "the staff is stored everywhere as it was published last"
CLINICS_CORRECT = "every stored document has the clinic of its relationship"
DEAD_LETTERS_CORRECT = "the dead letters of alliance are exactly the poison messages"


def alert_id_of(run: RecordedRun) -> UUID:
    (alert_id,) = run.databases["notify"]["alerts"]
    return UUID(str(alert_id))


def failed_checks_after(corrupt: Corruption) -> list[str]:
    """The checks that fail after `corrupt` has changed a healthy run."""
    run = healthy_run()
    corrupt(run)
    return run.failed_checks()
