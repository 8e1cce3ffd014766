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
    apart = acknowledged.clocks_apart(evidence.faults)
    reading = acknowledged.read(evidence.taken, evidence.since, apart)
    weigh(evidence, reading, await look(evidence, reading.bonds), apart, checks)


def weigh(evidence: Evidence, reading: Reading, seen: Seen, apart: timedelta, checks: Checks) -> None:
    """What was told against what was seen."""
    checks.none("every consumer has taken everything", [f"{who}: {n}" for who, n in seen.record.behind.items() if n])
    checks.none("every service is ready", seen.not_ready)
    _facts(evidence, reading, seen, apart, checks)
    read, standing = states.refolded(seen.record), alerts.expected(seen.record)
    _states(evidence, reading, seen, read, checks)
    _alerts(standing, seen, read, checks)
    _messages(evidence, reading, standing, seen, apart, checks)
    _owed(evidence, seen, apart, checks)
    for consumer in HEARD_BY:
        wrong, copies = dead_letters.amiss(consumer, seen.record, evidence.planted)
        count = f"{len(seen.record.letters.get(consumer, ()))} letters, {copies} of them copies"
        checks.none(f"the dead letters of {consumer} are the poison", wrong, count)


def _facts(evidence: Evidence, reading: Reading, seen: Seen, apart: timedelta, checks: Checks) -> None:
    record, injected = seen.record, evidence.injected
    found = source_events.compare(reading, injected, record)
    silent = source_events.silences(reading, injected, record, Deadlines(evidence.faults, apart, seen.now))
    done = source_events.acts(reading, record)
    copies = ", ".join(f"{count} copies on {topic}" for topic, count in sorted(record.copies.items()))
    count = f"{len(reading.told)} told, {len({event.id for event in injected})} injected"
    checks.none("every acknowledged fact lies on its topic", found.missing, count)
    checks.none("no acknowledged fact lies there under two ids", [*found.twice, *silent.twice], copies)
    checks.none("nothing lies there that nobody told", [*record.unreadable, *found.nobodys, *silent.nobodys])
    checks.none("every form whose time ran out was told of", silent.missing)
    wrong = [*done.missing, *done.twice, *done.nobodys]
    checks.none("what clinicians did about alerts lies on their topic, once", wrong, f"{len(reading.acts)} acts")
    checks.none("no event, and no version of a state, was told with two contents", record.contradictions)


def _states(evidence: Evidence, reading: Reading, seen: Seen, read: Refolded, checks: Checks) -> None:
    record, kept = seen.record, states.states(seen)
    histories = counts.histories(reading, evidence.injected, record)
    facts_kept, told_of = f"{len(seen.documents('alliance', 'facts'))} facts", f"{record.events[ALLIANCE.name]} events"
    checks.none("alliance keeps every fact once, and no other", states.not_remembered(record, seen), facts_kept)
    checks.none("every state equals the refold", states.not_as_refolded(kept, read), f"{len(kept)} states")
    checks.none("every score rests on what was told", counts.amiss(histories, seen), f"{len(histories)} relationships")
    checks.none("every state was told, and no other", states.not_told(kept, read, record), told_of)


def _alerts(standing: Standing, seen: Seen, read: Refolded, checks: Checks) -> None:
    count, shown = f"{len(standing)} alerts", f"{len(seen.inboxes)} inboxes"
    checks.none("every episode has one alert, which stands as it does", alerts.not_as_refolded(standing, read), count)
    checks.none("notify keeps exactly these alerts", alerts.not_kept(standing, seen))
    checks.none("no relationship has two open alerts", alerts.open_twice(standing.values()))
    checks.none("every inbox shows its alerts, and no other", alerts.not_shown(standing, seen), shown)
    told_of = f"{seen.record.events[ALERTS.name]} events"
    checks.none("every alert was told once at each severity", alerts.not_raised(standing, seen.record), told_of)


def _messages(
    evidence: Evidence, reading: Reading, standing: Standing, seen: Seen, apart: timedelta, checks: Checks
) -> None:
    came = messages.delivered(standing, evidence, seen, apart)
    mails, hooks, shown = evidence.mails, evidence.hooks, messages.as_shown(standing.values())
    count = f"{len(mails)} e-mails, {len(hooks)} webhooks; {came.copies} came again, {came.waiting} are put off"
    checks.none("every alert was delivered once on each channel, as owed", came.wrong, count)
    wrong = to_the_wrong_one(mails, hooks, shown, evidence.clinicians)
    checks.none("every message reached its clinician, and webhooks are signed", wrong)
    secrets = set(reading.case_codes.values())
    checks.none("no message says about whom it is", telling(mails, hooks, secrets), f"{len(secrets)} case codes")


def _owed(evidence: Evidence, seen: Seen, apart: timedelta, checks: Checks) -> None:
    injected = {event.id for event in evidence.injected}
    checks.none("nothing is owed any more", outbox.still_owed(seen))
    checks.none("no event lies on Kafka without its state", outbox.without_state(seen, injected))
    checks.none("each service knows of the others what was told", projections.amiss(seen, apart))
