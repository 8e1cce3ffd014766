"""The checks of a chaos run: compute the expected state from the acknowledged requests and compare it with the system.

The code is plain and slow on purpose. It shares with the services only the events and two functions of alliance's
domain, the fold and `derive_events`. These define what an alliance is and have tests of their own.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from services.alliance.domain.fold import FoldResult
from shared.events.topics import ALERTS, ALLIANCE, CONSUMED_TOPICS
from tests.system.chaos.checker import (
    alerts,
    clinics,
    counts,
    dead_letters,
    messages,
    outbox,
    projections,
    source_events,
    staff,
    states,
)
from tests.system.chaos.checker.acknowledged.history import AcknowledgedHistory
from tests.system.chaos.checker.acknowledged.requests import read_requests
from tests.system.chaos.checker.clocks import max_clock_skew
from tests.system.chaos.checker.observation import ObservedState, observe
from tests.system.chaos.checker.source_events import LapseDeadlines
from tests.system.chaos.evidence import Evidence
from tests.system.support.checks import Checks
from tests.system.support.messages import identifying_messages, misdelivered_messages

FoldResults: TypeAlias = Mapping[UUID, FoldResult]
ExpectedAlerts: TypeAlias = Mapping[UUID, alerts.ExpectedAlert]


async def check_system(evidence: Evidence, checks: Checks) -> None:
    """Check an idle system, one line per invariant."""
    clock_skew = max_clock_skew(evidence.faults)
    history = read_requests(evidence.requests, evidence.started_at, clock_skew)
    check_observed(evidence, history, await observe(evidence, history.relationships), clock_skew, checks)


def check_observed(
    evidence: Evidence, history: AcknowledgedHistory, observed: ObservedState, clock_skew: timedelta, checks: Checks
) -> None:
    """Compare the acknowledged history with the observed state."""
    checks.expect_none(
        "no consumer has any lag",
        [f"{consumer_name}: {lag}" for consumer_name, lag in observed.topic_contents.lag.items() if lag],
    )
    checks.expect_none("every service is ready", observed.unready_services)
    _check_source_events(evidence, history, observed, clock_skew, checks)
    fold_results, expected_alerts = (
        states.refold_relationships(observed.topic_contents),
        alerts.expected_alerts(observed),
    )
    _check_states(evidence, history, observed, fold_results, checks)
    _check_alerts(expected_alerts, observed, fold_results, checks)
    _check_messages(evidence, history, expected_alerts, observed, clock_skew, checks)
    _check_outbox(evidence, observed, clock_skew, checks)
    for consumer in CONSUMED_TOPICS:
        differences, duplicates = dead_letters.dead_letter_differences(
            consumer, observed.topic_contents, evidence.poison
        )
        total = len(observed.topic_contents.dead_letters.get(consumer, ()))
        count = f"{total} dead letters, {duplicates} of them duplicates"
        checks.expect_none(f"the dead letters of {consumer} are exactly the poison messages", differences, count)


def _check_source_events(
    evidence: Evidence, history: AcknowledgedHistory, observed: ObservedState, clock_skew: timedelta, checks: Checks
) -> None:
    contents, injected_events = observed.topic_contents, evidence.injected_events
    event_differences = source_events.compare_events(history, injected_events, contents)
    lapse_differences = source_events.compare_lapses(
        history, injected_events, contents, LapseDeadlines(evidence.faults, clock_skew, observed.observed_at)
    )
    disposition_differences = source_events.compare_dispositions(history, contents)
    duplicates = ", ".join(
        f"{count} duplicates on {topic}" for topic, count in sorted(contents.duplicate_counts.items())
    )
    count = f"{len(history.expected_events)} acknowledged, {len({event.id for event in injected_events})} injected"
    checks.expect_none("every acknowledged event is on its topic", event_differences.missing, count)
    checks.expect_none(
        "no acknowledged event is on its topic under two ids",
        [*event_differences.duplicates, *lapse_differences.duplicates],
        duplicates,
    )
    checks.expect_none(
        "no topic has an event that no client caused",
        [*contents.undecodable, *event_differences.unexpected, *lapse_differences.unexpected],
    )
    checks.expect_none("every lapsed feedback request is published", lapse_differences.missing)
    differences = [
        *disposition_differences.missing,
        *disposition_differences.duplicates,
        *disposition_differences.unexpected,
    ]
    checks.expect_none(
        "every acknowledgement and resolution of an alert is published once",
        differences,
        f"{len(history.dispositions)} dispositions",
    )
    checks.expect_none("no event and no state version is published with two contents", contents.contradictions)


def _check_states(
    evidence: Evidence, history: AcknowledgedHistory, observed: ObservedState, fold_results: FoldResults, checks: Checks
) -> None:
    contents, stored = observed.topic_contents, states.stored_states(observed)
    expected_counts = counts.counts_by_relationship(history, evidence.injected_events, contents)
    stored_events, published_events = (
        f"{len(observed.documents('alliance', 'facts'))} events",
        f"{contents.event_counts[ALLIANCE.name]} events",
    )
    checks.expect_none(
        "alliance stores every event of the history once, and no other",
        states.stored_event_differences(contents, observed),
        stored_events,
    )
    checks.expect_none(
        "every state equals the refold", states.state_differences(stored, fold_results), f"{len(stored)} states"
    )
    checks.expect_none(
        "every score is based on the acknowledged feedback",
        counts.score_differences(expected_counts, observed),
        f"{len(expected_counts)} relationships",
    )
    checks.expect_none(
        "every state is published, and no other",
        states.published_differences(stored, fold_results, contents),
        published_events,
    )


def _check_alerts(
    expected_alerts: ExpectedAlerts, observed: ObservedState, fold_results: FoldResults, checks: Checks
) -> None:
    alert_count, inbox_count = f"{len(expected_alerts)} alerts", f"{len(observed.inboxes)} inboxes"
    checks.expect_none(
        "every episode has one alert with the matching status",
        alerts.episode_differences(expected_alerts, fold_results),
        alert_count,
    )
    checks.expect_none("notify stores exactly these alerts", alerts.stored_differences(expected_alerts, observed))
    checks.expect_none("no relationship has two open alerts", alerts.multiple_open_alerts(expected_alerts.values()))
    checks.expect_none(
        "every inbox shows exactly its alerts", alerts.inbox_differences(expected_alerts, observed), inbox_count
    )
    event_count = f"{observed.topic_contents.event_counts[ALERTS.name]} events"
    checks.expect_none(
        "every alert is published once for each severity",
        alerts.raised_event_differences(expected_alerts, observed.topic_contents),
        event_count,
    )


def _check_messages(
    evidence: Evidence,
    history: AcknowledgedHistory,
    expected_alerts: ExpectedAlerts,
    observed: ObservedState,
    clock_skew: timedelta,
    checks: Checks,
) -> None:
    result = messages.compare_deliveries(expected_alerts, evidence, observed, clock_skew)
    received_emails, received_webhooks, inbox_alerts = (
        evidence.received_emails,
        evidence.received_webhooks,
        messages.to_inbox_alerts(expected_alerts.values()),
    )
    count = (
        f"{len(received_emails)} e-mails, {len(received_webhooks)} webhooks; "
        f"{result.duplicates} duplicates, {result.pending} pending"
    )
    checks.expect_none("every alert is delivered once on each required channel", result.differences, count)
    differences = misdelivered_messages(received_emails, received_webhooks, inbox_alerts, evidence.clinicians)
    checks.expect_none("every message reached its clinician and every webhook is signed", differences)
    case_codes = set(history.case_codes.values())
    checks.expect_none(
        "no message identifies a client",
        identifying_messages(received_emails, received_webhooks, case_codes),
        f"{len(case_codes)} case codes",
    )


def _check_outbox(evidence: Evidence, observed: ObservedState, clock_skew: timedelta, checks: Checks) -> None:
    injected_ids = {event.id for event in evidence.injected_events}
    checks.expect_none("every outbox is empty", outbox.pending_outbox_entries(observed))
    checks.expect_none(
        "every published event has its stored state", outbox.events_without_state(observed, injected_ids)
    )
    checks.expect_none(
        "every projection matches the published events", projections.projection_differences(observed, clock_skew)
    )
    checks.expect_none("the staff is stored everywhere as it was published last", staff.staff_differences(observed))
    checks.expect_none(
        "every stored document has the clinic of its relationship",
        clinics.clinic_differences(observed),
        f"{clinics.count_with_clinic(observed)} documents",
    )
