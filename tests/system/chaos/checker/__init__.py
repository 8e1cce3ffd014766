"""The judgement on a chaos run: from what clients were told it is computed what must be so, and compared with what is.

It is plain and slow, and shares nothing with the services but the events and, of alliance's domain, the fold and
what follows from a state: those say what an alliance is, and have proofs of their own.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import TypeAlias
from uuid import UUID

from services.alliance.domain.fold import Read
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
from tests.system.chaos.checker.acknowledged import Reading
from tests.system.chaos.checker.observation import Seen, look
from tests.system.chaos.checker.source_events import Deadlines
from tests.system.chaos.evidence import Evidence
from tests.system.support.checks import Checks
from tests.system.support.messages import telling, to_the_wrong_one
from tools.sandbox.servers.kafka_inspector import HEARD_BY

Refolded: TypeAlias = Mapping[UUID, Read]
Standing: TypeAlias = Mapping[UUID, alerts.Expected]


async def judge(evidence: Evidence, checks: Checks) -> None:
    """Judge a system at rest: a line for each thing that must hold."""
    clock_skew = acknowledged.clocks_apart(evidence.faults)
    history = acknowledged.read(evidence.taken, evidence.since, clock_skew)
    weigh(evidence, history, await look(evidence, history.bonds), clock_skew, checks)


def weigh(evidence: Evidence, history: Reading, seen: Seen, apart: timedelta, checks: Checks) -> None:
    """What was told against what was seen."""
    checks.none(
        "every consumer has taken everything",
        [f"{consumer_name}: {lag}" for consumer_name, lag in seen.record.behind.items() if lag],
    )
    checks.none("every service is ready", seen.not_ready)
    _facts(evidence, history, seen, apart, checks)
    fold_results, expected_alerts = states.refolded(seen.record), alerts.expected(seen.record)
    _states(evidence, history, seen, fold_results, checks)
    _alerts(expected_alerts, seen, fold_results, checks)
    _messages(evidence, history, expected_alerts, seen, apart, checks)
    _owed(evidence, seen, apart, checks)
    for consumer in HEARD_BY:
        differences, duplicates = dead_letters.amiss(consumer, seen.record, evidence.planted)
        count = f"{len(seen.record.letters.get(consumer, ()))} letters, {duplicates} of them copies"
        checks.none(f"the dead letters of {consumer} are the poison", differences, count)


def _facts(evidence: Evidence, history: Reading, seen: Seen, apart: timedelta, checks: Checks) -> None:
    contents, injected_events = seen.record, evidence.injected
    event_differences = source_events.compare(history, injected_events, contents)
    lapse_differences = source_events.silences(
        history, injected_events, contents, Deadlines(evidence.faults, apart, seen.now)
    )
    disposition_differences = source_events.acts(history, contents)
    duplicates = ", ".join(f"{count} copies on {topic}" for topic, count in sorted(contents.copies.items()))
    count = f"{len(history.told)} told, {len({event.id for event in injected_events})} injected"
    checks.none("every acknowledged fact lies on its topic", event_differences.missing, count)
    checks.none(
        "no acknowledged fact lies there under two ids",
        [*event_differences.twice, *lapse_differences.twice],
        duplicates,
    )
    checks.none(
        "nothing lies there that nobody told",
        [*contents.unreadable, *event_differences.nobodys, *lapse_differences.nobodys],
    )
    checks.none("every form whose time ran out was told of", lapse_differences.missing)
    differences = [*disposition_differences.missing, *disposition_differences.twice, *disposition_differences.nobodys]
    checks.none("what clinicians did about alerts lies on their topic, once", differences, f"{len(history.acts)} acts")
    checks.none("no event, and no version of a state, was told with two contents", contents.contradictions)


def _states(evidence: Evidence, history: Reading, seen: Seen, read: Refolded, checks: Checks) -> None:
    contents, stored = seen.record, states.states(seen)
    expected_counts = counts.histories(history, evidence.injected, contents)
    stored_events, published_events = (
        f"{len(seen.documents('alliance', 'facts'))} facts",
        f"{contents.events[ALLIANCE.name]} events",
    )
    checks.none("alliance keeps every fact once, and no other", states.not_remembered(contents, seen), stored_events)
    checks.none("every state equals the refold", states.not_as_refolded(stored, read), f"{len(stored)} states")
    checks.none(
        "every score rests on what was told",
        counts.amiss(expected_counts, seen),
        f"{len(expected_counts)} relationships",
    )
    checks.none("every state was told, and no other", states.not_told(stored, read, contents), published_events)


def _alerts(standing: Standing, seen: Seen, read: Refolded, checks: Checks) -> None:
    alert_count, inbox_count = f"{len(standing)} alerts", f"{len(seen.inboxes)} inboxes"
    checks.none(
        "every episode has one alert, which stands as it does", alerts.not_as_refolded(standing, read), alert_count
    )
    checks.none("notify keeps exactly these alerts", alerts.not_kept(standing, seen))
    checks.none("no relationship has two open alerts", alerts.open_twice(standing.values()))
    checks.none("every inbox shows its alerts, and no other", alerts.not_shown(standing, seen), inbox_count)
    event_count = f"{seen.record.events[ALERTS.name]} events"
    checks.none("every alert was told once at each severity", alerts.not_raised(standing, seen.record), event_count)


def _messages(
    evidence: Evidence, history: Reading, standing: Standing, seen: Seen, apart: timedelta, checks: Checks
) -> None:
    result = messages.delivered(standing, evidence, seen, apart)
    received_emails, received_webhooks, inbox_alerts = (
        evidence.mails,
        evidence.hooks,
        messages.as_shown(standing.values()),
    )
    count = f"{len(received_emails)} e-mails, {len(received_webhooks)} webhooks; {result.copies} came again, {result.waiting} are put off"
    checks.none("every alert was delivered once on each channel, as owed", result.wrong, count)
    differences = to_the_wrong_one(received_emails, received_webhooks, inbox_alerts, evidence.clinicians)
    checks.none("every message reached its clinician, and webhooks are signed", differences)
    case_codes = set(history.case_codes.values())
    checks.none(
        "no message says about whom it is",
        telling(received_emails, received_webhooks, case_codes),
        f"{len(case_codes)} case codes",
    )


def _owed(evidence: Evidence, seen: Seen, apart: timedelta, checks: Checks) -> None:
    injected_ids = {event.id for event in evidence.injected}
    checks.none("nothing is owed any more", outbox.still_owed(seen))
    checks.none("no event lies on Kafka without its state", outbox.without_state(seen, injected_ids))
    checks.none("each service knows of the others what was told", projections.amiss(seen, apart))
