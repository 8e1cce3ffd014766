"""What a clinician decided about an alert, and which of these decisions count.

A disposition counts from when it was made until it is taken back. The result depends on which dispositions are known,
and not on the order in which they arrived: one that is taken back does not count, also if that was known first.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal
from uuid import UUID

from services.notify.domain.episode import StoredModel
from shared.events import DispositionKind, Severity, UtcDatetime
from shared.events.alerts import old_disposition_id
from shared.events.model import SEVERITY_RANK

DispositionAction = Literal["acknowledged", "resolved", "reopened"]


class Disposition(StoredModel):
    """The clinician acknowledged or resolved the alert, or took one of these back."""

    id: UUID
    """The id of the event about it."""
    action: DispositionAction
    at: UtcDatetime
    severity: Severity
    """The severity of the alert at that time; it covers no higher one."""
    useful: bool | None = None
    disposition: DispositionKind | None = None
    """What the clinician did about an alert that is resolved, if that was stated."""
    disposition_id: UUID | None = None
    """The disposition that it takes back, if it is one that reopens the alert."""

    def covers(self, severity: Severity) -> bool:
        """Whether it was made about an alert that was at least as severe."""
        return SEVERITY_RANK[self.severity] >= SEVERITY_RANK[severity]


def sort_dispositions(dispositions: Iterable[Disposition]) -> tuple[Disposition, ...]:
    """Each once, in the order in which they were made; of two under one id, the later one."""
    in_order = sorted(dispositions, key=lambda d: (d.at, d.model_dump_json()))
    by_id = {disposition.id: disposition for disposition in in_order}
    return tuple(sorted(by_id.values(), key=lambda d: (d.at, d.id)))


def reopened_ids(dispositions: Iterable[Disposition]) -> set[UUID]:
    """The dispositions that were taken back."""
    return {d.disposition_id for d in dispositions if d.disposition_id is not None}


def find_counting(dispositions: Sequence[Disposition], action: DispositionAction) -> Disposition | None:
    """The latest disposition of this kind that was not taken back."""
    taken_back = reopened_ids(dispositions)
    return max(
        (d for d in dispositions if d.action == action and d.id not in taken_back),
        key=lambda d: (d.at, SEVERITY_RANK[d.severity], d.id),
        default=None,
    )


def read_stored_dispositions(stored: Mapping[str, Any], alert_id: UUID) -> list[Mapping[str, Any]]:
    """The dispositions in a stored alert, with those that an older version wrote.

    Older versions keep only the last one of each kind, under the name of the kind and without an id. They published
    it under an id that follows from its severity.
    """
    dispositions = list(stored.get("dispositions", ()))
    known = {(d["action"], d["at"], d["severity"]) for d in dispositions}
    for action in ("acknowledged", "resolved"):
        latest = stored.get(action)
        if latest is not None and (action, latest["at"], latest["severity"]) not in known:
            old_id = old_disposition_id(alert_id, action, latest["severity"])
            dispositions.append({"id": old_id, "action": action, **latest})
    return dispositions
