"""What must become of the recording, read from the databases and topics as everything was killed."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from deploy.local.topics import HEARD_BY, Topics
from deploy.simulation.ledger import Taken
from shared.kafka.letterbox import letters_of

from tests.system.upgrade.archive import Recording
from tests.system.upgrade.expectations import (
    Alert,
    DeadLetter,
    Delivery,
    Expectations,
    FailedDelivery,
    Form,
    Link,
    OutboxEntry,
    Why,
)
from tests.system.upgrade.recorder.crash import OUTBOXES
from tests.system.upgrade.recorder.scripts import Script
from tests.system.upgrade.recorder.system import NotRecorded, System

SOON, LATER = timedelta(minutes=1), timedelta(minutes=20)
"""Nothing may fall due between these, so that it is clear what must be so when the checker looks."""
CHANGED = {"alliance-event": "open", "feedback": "open", "outbox": "open", "consent": "retracted"}
"""How the alerts of these scripts must stand once everything is consumed."""
TOPICS = {"alert": "clinic.alerts", "feedback": "clinic.feedback", "session": "clinic.sessions"}


async def expected(
    system: System, recording: Recording, scripts: dict[str, Script], planted: set[bytes], taken: Iterable[Taken]
) -> Expectations:
    """All of it. Raises NotRecorded where something that should be left over is not."""
    ended_at = recording.manifest.ended_at
    async with Topics(system.kafka.address) as topics:
        unread = [DeadLetter(consumer=c, origin=o, settled=None) async for c, o in _undecoded(topics, planted)]
    forms = [form async for form in _forms(system, ended_at)]
    changed = {scripts[name].course.id for name in CHANGED}
    letters = [letter async for letter in _dead_letters(system)]
    found = Expectations(
        outbox=tuple([entry async for entry in _outbox(system)]),
        deliveries=tuple([delivery async for delivery in _deliveries(system)]),
        failed=tuple([one async for one in _failed(system)]),
        lapses=tuple(form for form, due in forms if due <= ended_at + SOON),
        awaited=tuple(form for form, due in forms if due > ended_at + SOON),
        links=tuple([link async for link in _links(system, ended_at, taken)]),
        lag={group: _lag(recording, group) for group in HEARD_BY},
        unchanged=tuple([alert async for alert in _alerts(system) if alert.relationship not in changed]),
        changed=tuple(_changed(script, CHANGED[name]) for name, script in scripts.items() if name in CHANGED),
        dead_letters=(*letters, *(one for one in unread if not _is_known(one, letters))),
    )
    _check(found, forms, ended_at)
    return found


def _lag(recording: Recording, group: str) -> int:
    records = sum(len(recording.topics[topic.name]) for topic in HEARD_BY[group])
    return records - sum(sum(offsets.values()) for offsets in recording.groups[group].values())


async def _outbox(system: System) -> Any:
    for service, collection in OUTBOXES:
        async for document in system.documents(service, collection).find({"owed.0": {"$exists": True}}):
            for entry in document["owed"]:
                event = json.loads(entry["event"])
                topic = TOPICS.get(event["type"].split(".")[1], "clinic.intake")
                yield OutboxEntry(service=service, topic=topic, type=event["type"], event=entry["id"])


async def _deliveries(system: System) -> Any:
    async for delivery in system.documents("notify", "deliveries").find({"next_at": {"$exists": True}}):
        why: Why = "its lease expires" if delivery.get("held") else "its retry is due"
        if not delivery["attempts"]:
            why = "it was not tried yet"
        yield Delivery(id=delivery["_id"], channel=delivery["channel"], why=why)


async def _failed(system: System) -> Any:
    async for delivery in system.documents("notify", "deliveries").find({"outcome": {"$in": ["refused", "failed"]}}):
        yield FailedDelivery(id=delivery["_id"], outcome=delivery["outcome"])


async def _forms(system: System, ended_at: datetime) -> Any:
    """Forms that nobody has answered, with the moment at which their time is over."""
    silent = await _without_consent(system)
    async for session in system.documents("sessions", "sessions").find({"next_lapse_at": {"$ne": None}}):
        for rater, request in session["feedback"].items():
            if request["status"] != "awaiting" or (rater == "client" and session["relationship_id"] in silent):
                continue
            yield Form(session=session["_id"], rater=rater), request["lapses_at"]


async def _links(system: System, ended_at: datetime, taken: Iterable[Taken]) -> Any:
    """The links of forms whose time is not over: those that work, and those that were used."""
    statuses, silent = {}, await _without_consent(system)
    async for session in system.documents("sessions", "sessions").find({"link_hashes.0": {"$exists": True}}):
        for rater, request in session["feedback"].items():
            if rater == "client" and session["relationship_id"] in silent:
                continue
            if request.get("expires_at") and request["expires_at"] > ended_at + LATER and request["token_hash"]:
                if request["status"] == "awaiting":
                    statuses[request["token_hash"]] = 200
                elif request.get("answered_with") == request["token_hash"]:
                    statuses[request["token_hash"]] = 410
    for token in _tokens(taken):
        if (status := statuses.get(hashlib.sha256(token.encode()).hexdigest())) is not None:
            yield Link(token=token, status=status)


async def _without_consent(system: System) -> set[UUID]:
    """Relationships whose client does not agree to be asked, by the word of intake, whom others may not have heard."""
    return {
        relationship["_id"]
        async for relationship in system.documents("intake", "relationships").find()
        if not relationship["consents"] or not relationship["consents"][-1]["given"]
    }


def _tokens(taken: Iterable[Taken]) -> Iterator[str]:
    for one in taken:
        if one.path.endswith("/completion"):
            yield from (form["url"].rsplit("/", 1)[1] for form in _links_in(one.answer))


def _links_in(answer: Any) -> Iterator[Any]:
    return (form for form in (answer["client_form"], answer["clinician_form"]) if form)


async def _alerts(system: System) -> Any:
    async for alert in system.documents("notify", "alerts").find():
        yield Alert(
            relationship=alert["relationship_id"],
            clinician=alert["clinician_id"],
            alert=alert["_id"],
            severities=(alert["said"]["severity"],),
            status=alert["status"],
        )


def _changed(script: Script, status: str) -> Alert:
    return Alert(
        relationship=script.course.id,
        clinician=script.clinician.id,
        severities=("concern", "urgent"),
        status=status,
    )


async def _dead_letters(system: System) -> Any:
    for consumer in HEARD_BY:
        for letter in await letters_of(system.kafka.address, consumer):
            settled = letter.settled.how if letter.settled else None
            yield DeadLetter(consumer=consumer, origin=str(letter.origin), settled=settled)


async def _undecoded(topics: Topics, planted: set[bytes]) -> Any:
    """What was planted last, by the consumers that have yet to find out."""
    for consumer, subscribed in HEARD_BY.items():
        for topic in subscribed:
            for record in await topics.records(topic):
                if record.key in planted:
                    yield consumer, f"{topic.name}/{record.partition}/{record.offset}"


def _is_known(one: DeadLetter, letters: list[DeadLetter]) -> bool:
    return any((one.consumer, one.origin) == (letter.consumer, letter.origin) for letter in letters)


def _check(found: Expectations, forms: list[tuple[Form, datetime]], ended_at: datetime) -> None:
    whys = {delivery.why for delivery in found.deliveries}
    statuses = {alert.status for alert in found.unchanged}
    severities = {s for alert in found.unchanged if alert.status == "open" for s in alert.severities}
    between = [form for form, due in forms if ended_at + SOON < due <= ended_at + LATER]
    services = {entry.service for entry in found.outbox}
    problems = {
        "outboxes": services != {"intake", "sessions", "notify"},
        "deliveries": len(whys) != 3,
        "failed": {one.outcome for one in found.failed} != {"refused", "failed"},
        "lapses": not found.lapses or bool(between),
        "links": {link.status for link in found.links} != {200, 410},
        "lag": not all(found.lag.values()),
        "statuses": not {"open", "acknowledged", "resolved", "repaired", "retracted"} <= statuses,
        "severities": severities != {"watch", "concern", "urgent"},
        "dead letters": not {None, "redriven", "closed"} <= {one.settled for one in found.dead_letters},
    }
    if missing := [name for name, is_missing in problems.items() if is_missing]:
        raise NotRecorded(f"not as planned: {missing}; {whys} {statuses} {severities} {between} {services} {found.lag}")
