"""The judgement on a chaos run: from what clients were told it is computed what must be so, and compared with what is.

It is plain and slow, and shares nothing with the services but the events and, of alliance's domain, the fold and
what follows from a state: those say what an alliance is, and have proofs of their own.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from services.alliance.domain.fold import FoldResult
from shared.events.topics import ALERTS, ALLIANCE
from tests.system.chaos.checker import (
    acknowledged,
    alerts,
    counts,
    dead_letters,
    messages,
    outbox,
    projections,
    source_events,
    states,
)
from tests.system.chaos.checker.acknowledged import AcknowledgedHistory
from tests.system.chaos.checker.observation import ObservedState, observe
from tests.system.chaos.checker.source_events import LapseDeadlines
from tests.system.chaos.evidence import Evidence
from tests.system.support.checks import Checks
from tests.system.support.messages import identifying_messages, misdelivered_messages
from tools.sandbox.servers.kafka_inspector import CONSUMED_TOPICS

FoldResults: TypeAlias = Mapping[UUID, FoldResult]
ExpectedAlerts: TypeAlias = Mapping[UUID, alerts.ExpectedAlert]


async def check_system(evidence: Evidence, checks: Checks) -> None:
    """Judge a system at rest: a line for each thing that must hold."""
    clock_skew = acknowledged.max_clock_skew(evidence.faults)
    history = acknowledged.read_requests(evidence.requests, evidence.started_at, clock_skew)
    check_observed(evidence, history, await observe(evidence, history.relationships), clock_skew, checks)


def check_observed(
    evidence: Evidence, history: AcknowledgedHistory, observed: ObservedState, clock_skew: timedelta, checks: Checks
) -> None:
    """What was told against what was seen."""
    checks.expect_none(
        "every consumer has taken everything",
        [f"{consumer_name}: {lag}" for consumer_name, lag in observed.topic_contents.lag.items() if lag],
    )
    checks.expect_none("every service is ready", observed.unready_services)
    _check_source_events(evidence, history, observed, clock_skew, checks)
    fold_results, expected_alerts = (
        states.refold_relationships(observed.topic_contents),
        alerts.expected_alerts(observed.topic_contents),
    )
    _check_states(evidence, history, observed, fold_results, checks)
    _check_alerts(expected_alerts, observed, fold_results, checks)
    _check_messages(evidence, history, expected_alerts, observed, clock_skew, checks)
    _check_outbox(evidence, observed, clock_skew, checks)
    for consumer in CONSUMED_TOPICS:
        differences, duplicates = dead_letters.dead_letter_differences(
            consumer, observed.topic_contents, evidence.poison
        )
        count = f"{len(observed.topic_contents.dead_letters.get(consumer, ()))} letters, {duplicates} of them copies"
        checks.expect_none(f"the dead letters of {consumer} are the poison", differences, count)


def _check_source_events(
    evidence: Evidence, history: AcknowledgedHistory, observed: ObservedState, clock_skew: timedelta, checks: Checks
) -> None:
    contents, injected_events = observed.topic_contents, evidence.injected_events
    event_differences = source_events.compare_events(history, injected_events, contents)
    lapse_differences = source_events.compare_lapses(
        history, injected_events, contents, LapseDeadlines(evidence.faults, clock_skew, observed.observed_at)
    )
    disposition_differences = source_events.compare_dispositions(history, contents)
    duplicates = ", ".join(f"{count} copies on {topic}" for topic, count in sorted(contents.duplicate_counts.items()))
    count = f"{len(history.expected_events)} told, {len({event.id for event in injected_events})} injected"
    checks.expect_none("every acknowledged fact lies on its topic", event_differences.missing, count)
    checks.expect_none(
        "no acknowledged fact lies there under two ids",
        [*event_differences.duplicates, *lapse_differences.duplicates],
        duplicates,
    )
    checks.expect_none(
        "nothing lies there that nobody told",
        [*contents.undecodable, *event_differences.unexpected, *lapse_differences.unexpected],
    )
    checks.expect_none("every form whose time ran out was told of", lapse_differences.missing)
    differences = [
        *disposition_differences.missing,
        *disposition_differences.duplicates,
        *disposition_differences.unexpected,
    ]
    checks.expect_none(
        "what clinicians did about alerts lies on their topic, once", differences, f"{len(history.dispositions)} acts"
    )
    checks.expect_none("no event, and no version of a state, was told with two contents", contents.contradictions)


def _check_states(
    evidence: Evidence, history: AcknowledgedHistory, observed: ObservedState, fold_results: FoldResults, checks: Checks
) -> None:
    contents, stored = observed.topic_contents, states.stored_states(observed)
    expected_counts = counts.counts_by_relationship(history, evidence.injected_events, contents)
    stored_events, published_events = (
        f"{len(observed.documents('alliance', 'facts'))} facts",
        f"{contents.event_counts[ALLIANCE.name]} events",
    )
    checks.expect_none(
        "alliance keeps every fact once, and no other",
        states.stored_event_differences(contents, observed),
        stored_events,
    )
    checks.expect_none(
        "every state equals the refold", states.state_differences(stored, fold_results), f"{len(stored)} states"
    )
    checks.expect_none(
        "every score rests on what was told",
        counts.score_differences(expected_counts, observed),
        f"{len(expected_counts)} relationships",
    )
    checks.expect_none(
        "every state was told, and no other",
        states.published_differences(stored, fold_results, contents),
        published_events,
    )


def _check_alerts(
    expected_alerts: ExpectedAlerts, observed: ObservedState, fold_results: FoldResults, checks: Checks
) -> None:
    alert_count, inbox_count = f"{len(expected_alerts)} alerts", f"{len(observed.inboxes)} inboxes"
    checks.expect_none(
        "every episode has one alert, which stands as it does",
        alerts.episode_differences(expected_alerts, fold_results),
        alert_count,
    )
    checks.expect_none("notify keeps exactly these alerts", alerts.stored_differences(expected_alerts, observed))
    checks.expect_none("no relationship has two open alerts", alerts.multiple_open_alerts(expected_alerts.values()))
    checks.expect_none(
        "every inbox shows its alerts, and no other", alerts.inbox_differences(expected_alerts, observed), inbox_count
    )
    event_count = f"{observed.topic_contents.event_counts[ALERTS.name]} events"
    checks.expect_none(
        "every alert was told once at each severity",
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
    count = f"{len(received_emails)} e-mails, {len(received_webhooks)} webhooks; {result.duplicates} came again, {result.pending} are put off"
    checks.expect_none("every alert was delivered once on each channel, as owed", result.differences, count)
    differences = misdelivered_messages(received_emails, received_webhooks, inbox_alerts, evidence.clinicians)
    checks.expect_none("every message reached its clinician, and webhooks are signed", differences)
    case_codes = set(history.case_codes.values())
    checks.expect_none(
        "no message says about whom it is",
        identifying_messages(received_emails, received_webhooks, case_codes),
        f"{len(case_codes)} case codes",
    )


def _check_outbox(evidence: Evidence, observed: ObservedState, clock_skew: timedelta, checks: Checks) -> None:
    injected_ids = {event.id for event in evidence.injected_events}
    checks.expect_none("nothing is owed any more", outbox.pending_outbox_entries(observed))
    checks.expect_none("no event lies on Kafka without its state", outbox.events_without_state(observed, injected_ids))
    checks.expect_none(
        "each service knows of the others what was told", projections.projection_differences(observed, clock_skew)
    )
