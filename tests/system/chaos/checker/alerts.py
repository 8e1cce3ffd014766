"""Which alerts there must be, and how they stand: from what alliance told of episodes, by plain rules of our own."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from services.alliance.domain.fold import Read
from shared.events import (
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    AllianceUpdated,
    RelationshipStarted,
    RuptureEvent,
    RuptureRepaired,
    RuptureRetracted,
    Severity,
)
from tests.system.chaos.checker.observation import Seen
from tests.system.chaos.checker.source_events import WEIGHT
from tests.system.chaos.checker.states import last_words
from tests.system.chaos.checker.topic_contents import Record

UNSETTLED = ("open", "acknowledged")
MOST_SHOWN = 200
"""The most alerts in one inbox."""


@dataclass(frozen=True)
class Expected:
    """An alert that there must be."""

    id: UUID
    clinician: UUID | None
    """None while nobody told whose relationship it is."""
    last: RuptureEvent
    """What alliance said of its episode last."""
    told: Sequence[RuptureEvent]
    """All that alliance said of it, by version."""
    status: str
    rises: Mapping[Severity, RuptureEvent] = field(default_factory=dict)
    """Each severity that it rose to, and what was said then."""


def expected(record: Record) -> dict[UUID, Expected]:
    """One alert for each episode that was ever told of."""
    by_episode = defaultdict[UUID, list[RuptureEvent]](list)
    for event in record.ruptures.values():
        by_episode[event.episode_id].append(event)
    last, whose, acts = last_words(record.ruptures.values()), _whose(record), _acts(record)
    found = {}
    for episode, told in by_episode.items():
        which, word = uuid5(episode, "alert"), last[episode]
        found[which] = Expected(
            id=which,
            clinician=whose.get(word.relationship_id),
            last=word,
            told=sorted(told, key=lambda event: event.version),
            status=_status(word, record.updates.get(word.relationship_id), acts.get(which, {})),
            rises=_rises(told),
        )
    return found


def _whose(record: Record) -> dict[UUID, UUID]:
    started = (fact for fact in record.facts.values() if isinstance(fact, RelationshipStarted))
    return {fact.relationship_id: fact.clinician_id for fact in started}


def _acts(record: Record) -> dict[UUID, dict[str, int]]:
    """How severe each alert was, at most, when a clinician did something about it; ids tell."""
    found = defaultdict[UUID, dict[str, int]](dict)
    for event in record.alerts.values():
        if isinstance(event, AlertAcknowledged | AlertResolved):
            what = "acknowledged" if isinstance(event, AlertAcknowledged) else "resolved"
            for severity, weight in WEIGHT.items():
                if event.id == uuid5(event.alert_id, f"{what}:{severity}"):
                    acts = found[event.alert_id]
                    acts[what] = max(weight, acts.get(what, -1))
    return found


def _status(word: RuptureEvent, update: AllianceUpdated | None, acts: Mapping[str, int]) -> str:
    weight = WEIGHT[word.severity]
    if acts.get("resolved", -1) >= weight:
        return "resolved"
    if isinstance(word, RuptureRepaired):
        return "repaired"
    gone = update is not None and update.version >= word.version and update.open_episode_id != word.episode_id
    if isinstance(word, RuptureRetracted) or gone:
        return "retracted"
    return "acknowledged" if acts.get("acknowledged", -1) >= weight else "open"


def _rises(told: Iterable[RuptureEvent]) -> dict[Severity, RuptureEvent]:
    rises: dict[Severity, RuptureEvent] = {}
    highest = -1
    for event in sorted(told, key=lambda event: event.version):
        if WEIGHT[event.severity] > highest:
            highest = WEIGHT[event.severity]
            rises[event.severity] = event
    return rises


def not_as_refolded(alerts: Mapping[UUID, Expected], read: Mapping[UUID, Read]) -> list[str]:
    """Episodes of the refold whose alert stands otherwise, and alerts that stand for an episode that is not open."""
    wrong, still_open = [], set[UUID]()
    for each in read.values():
        standing: list[tuple[UUID, tuple[str, ...]]] = [(e.id, ("repaired", "resolved")) for e in each.repaired]
        if each.alliance.open is not None:
            still_open.add(uuid5(each.alliance.open.id, "alert"))
            standing.append((each.alliance.open.id, ("open", "acknowledged", "resolved")))
        for episode, allowed in standing:
            alert = alerts.get(uuid5(episode, "alert"))
            if alert is None or alert.status not in allowed:
                wrong.append(f"episode {episode}: {alert.status if alert else 'has no alert'}, not {allowed[0]}")
    unsettled = {alert.id for alert in alerts.values() if alert.status in UNSETTLED}
    return wrong + [f"alert {which}: stands for no open episode" for which in unsettled - still_open]


def not_kept(alerts: Mapping[UUID, Expected], seen: Seen) -> list[str]:
    """Alerts that notify does not have, or has otherwise, and those it has for nothing."""
    documents = seen.documents("notify", "alerts")
    wrong = [f"{which}: is not there" for which in alerts.keys() - documents.keys()]
    wrong += [f"{which}: is there for no episode" for which in documents.keys() - alerts.keys()]
    for which in alerts.keys() & documents.keys():
        alert, document = alerts[which], documents[which]
        kept = {
            "episode": (document["episode_id"], alert.last.episode_id),
            "relationship": (document["relationship_id"], alert.last.relationship_id),
            "clinician": (document["clinician_id"], alert.clinician),
            "status": (document["status"], alert.status),
            "severity": (document["said"]["severity"], alert.last.severity),
            "version": (document["said"]["version"], alert.last.version),
            "last sign": (document["said"]["last_sign_at"], alert.last.last_sign_at),
        }
        wrong += [f"{which}: {what} {is_so}, not {told}" for what, (is_so, told) in kept.items() if is_so != told]
    return wrong


def open_twice(alerts: Iterable[Expected]) -> list[str]:
    """Relationships with more than one alert that is not settled."""
    still_open = Counter(alert.last.relationship_id for alert in alerts if alert.status in UNSETTLED)
    return [f"{relationship}: {count} alerts" for relationship, count in still_open.items() if count > 1]


def not_shown(alerts: Mapping[UUID, Expected], seen: Seen) -> list[str]:
    """Inboxes that do not show exactly the alerts of their clinician, the most pressing ones where there are many."""
    by_clinician = defaultdict[UUID | None, list[Expected]](list)
    for alert in alerts.values():
        by_clinician[alert.clinician].append(alert)
    wrong = []
    for clinician, inbox in seen.inboxes.items():
        if inbox is None:
            wrong.append(f"{clinician}: has no inbox")
            continue
        due = sorted(by_clinician[clinician], key=_pressing)[:MOST_SHOWN]
        told = [(str(a.id), a.status, a.last.severity) for a in due]
        shown = [(a["alert_id"], a["status"], a["severity"]) for a in inbox["alerts"]]
        if shown != told:
            differ = set(shown) ^ set(told)
            wrong.append(f"{clinician}: {sorted(i for i, _, _ in differ)[:3] if differ else 'in another order'}")
    return wrong


def _pressing(alert: Expected) -> tuple[int, float, bytes]:
    settled = {"open": 0, "acknowledged": 1}.get(alert.status, 2)
    return 10 * settled - WEIGHT[alert.last.severity], -alert.last.last_sign_at.timestamp(), alert.id.bytes


def not_raised(alerts: Mapping[UUID, Expected], record: Record) -> list[str]:
    """Alerts of which it was not told that they stand in an inbox, and those told of that do not.

    Where versions were told in another order than they were written, a severity may have been told that the last
    word no longer counts as a rise.
    """
    told = {event.id: event for event in record.alerts.values() if isinstance(event, AlertRaised)}
    wrong = []
    for alert in alerts.values():
        if alert.clinician is None:
            continue
        for severity in alert.rises:
            event = told.get(uuid5(alert.id, f"raised:{severity}"))
            if event is None or not _says(event, alert, severity):
                wrong.append(f"{alert.id}: not told, or otherwise, that it rose to {severity}")
    for event in told.values():
        known = alerts.get(event.alert_id)
        severities = {said.severity for said in known.told} if known else set()
        if event.severity not in severities or event.id != uuid5(event.alert_id, f"raised:{event.severity}"):
            wrong.append(f"{event.alert_id}: told for nothing that it rose to {event.severity}")
    return wrong


def _says(event: AlertRaised, alert: Expected, severity: Severity) -> bool:
    said = (event.alert_id, event.episode_id, event.relationship_id, event.clinician_id, event.severity)
    so = (alert.id, alert.last.episode_id, alert.last.relationship_id, alert.clinician, severity)
    return said == so and event.occurred_at in {e.last_sign_at for e in alert.told if e.severity == severity}
