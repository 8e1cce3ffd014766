"""The history of a relationship as it was known before each of its latest corrections.

Such a history equals the one after the correction up to the first event that differs. A branch holds only the events
from there on, so that a fold can start there and a correction costs what it touches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.alliance.domain.state.history import (
    HistoryEvent,
    apply_corrections,
    corrected_at,
    is_correction,
    sort_key,
)

MAX_CORRECTIONS_CHECKED = 8  # only the latest: corrections that all touch an old session cost a whole fold each


@dataclass(frozen=True, slots=True)
class Branch:
    """The history that was known before a correction was made."""

    corrected_at: datetime
    start: int
    """How many events it shares with the history that was known after the correction."""
    events: Sequence[HistoryEvent]
    """Its events after these, as corrected by then."""


def find_branches(sorted_events: Sequence[HistoryEvent]) -> list[Branch]:
    """The latest correction first: each history branches off from the one before it here, the first from today's."""
    known_at = [(corrected_at(event), sort_key(event)) for event in sorted_events]
    corrections = sorted(at for event, at in zip(sorted_events, known_at, strict=True) if is_correction(event))
    after, branches = apply_corrections(sorted_events), []
    for correction in reversed(corrections[-MAX_CORRECTIONS_CHECKED:]):
        known = [event for event, at in zip(sorted_events, known_at, strict=True) if at < correction]
        before = apply_corrections(known)
        start = _shared_length(before, after)
        branches.append(Branch(correction[0], start, before[start:]))
        after = before
    return branches


def _shared_length(one: Sequence[HistoryEvent], other: Sequence[HistoryEvent]) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    # Nearly all are the same objects, which spares their comparison.
    return next((index for index, (a, b) in pairs if a is not b and a != b), min(len(one), len(other)))
