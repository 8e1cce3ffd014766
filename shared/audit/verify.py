"""Whether a chain is as it was written, as a pure function of its entries, the keys and the heads that are known.

Nothing here does I/O or reads a clock. Every entry is compared with its own MAC and with the entry before, so that one
damaged entry gives one or two problems and the rest of the chain is still verified.
"""

import hmac
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from shared.access.clinic_id import ClinicId
from shared.access.table.row import Service
from shared.audit.chain import NO_MAC, AuditEntry, Head, compute_mac
from shared.audit.keys import AuditKeys

ProblemKind = Literal["removed", "changed", "forked", "truncated", "unknown-key", "unreadable"]
"""What was found:

- `removed`: entries are missing before one;
- `changed`: an entry is not the one that was written: its line, its place or its MAC differs;
- `forked`: two entries claim one place;
- `truncated`: entries are missing at the end;
- `unknown-key`: an entry names a key that is not given, so that it cannot be verified;
- `unreadable`: an entry has not the form of one.
"""


@dataclass(frozen=True, order=True)
class Problem:
    """One place at which a chain is not as it was written."""

    clinic_id: ClinicId
    sequence: int
    kind: ProblemKind
    detail: str


@dataclass(frozen=True)
class UnreadableEntry:
    """What is stored as an entry and has not the form of one."""

    sequence: int | None
    """None if this is unreadable too."""


StoredEntry = AuditEntry | UnreadableEntry


class ChainVerifier:
    """Verifies the chain of one clinic; its entries are given in the order of their sequence."""

    def __init__(self, service: Service, clinic_id: ClinicId, keys: AuditKeys, known_heads: Iterable[Head]) -> None:
        """`known_heads` were written down earlier; those of other clinics do not count."""
        self._service = service
        self._clinic_id = clinic_id
        self._keys = keys
        self._known_heads = [head for head in known_heads if head.clinic_id == clinic_id]
        self._sequence = 0
        self._macs: set[str] | None = {NO_MAC}
        """Those at `_sequence`, one unless the chain is forked there; None if they are not known."""

    def verify(self, entry: StoredEntry) -> Iterator[Problem]:
        """The problems of the next entry."""
        sequence = self._sequence + 1 if entry.sequence is None else entry.sequence
        if sequence == self._sequence:
            yield self._problem(sequence, "forked", "another entry has the same place")
        else:
            if sequence > self._sequence + 1:
                missing = f"entries {self._sequence + 1} to {sequence - 1} are missing"
                yield self._problem(sequence, "removed", missing)
            previous_macs = self._macs if sequence == self._sequence + 1 else None
            if isinstance(entry, AuditEntry) and previous_macs is not None and entry.previous_mac not in previous_macs:
                yield self._problem(sequence, "changed", "it does not continue the entry before")
            self._sequence, self._macs = sequence, set()
        if isinstance(entry, UnreadableEntry):
            self._macs = None
            yield self._problem(sequence, "unreadable", "it has not the form of an entry")
            return
        if self._macs is not None:
            self._macs.add(entry.mac)
        yield from self._verify_content(entry)

    def finish(self) -> Iterator[Problem]:
        """The problems at the end, after the last entry."""
        longest = max((head.sequence for head in self._known_heads), default=0)
        if longest > self._sequence:
            missing = f"entries {self._sequence + 1} to {longest} are missing at the end"
            yield self._problem(self._sequence, "truncated", missing)

    def _verify_content(self, entry: AuditEntry) -> Iterator[Problem]:
        key = self._keys.by_id.get(entry.key_id)
        if key is None:
            yield self._problem(entry.sequence, "unknown-key", f"the key {entry.key_id} is not given")
        elif not hmac.compare_digest(compute_mac(entry.line, entry.sequence, entry.previous_mac, key), entry.mac):
            yield self._problem(entry.sequence, "changed", "it is not the entry that was written")
        if (entry.line.service, entry.line.clinic_id) != (self._service, self._clinic_id):
            yield self._problem(entry.sequence, "changed", "it belongs to another chain")
        if any(head.sequence == entry.sequence and head.mac != entry.mac for head in self._known_heads):
            yield self._problem(entry.sequence, "changed", "its MAC was another one when it was written down")

    def _problem(self, sequence: int, kind: ProblemKind, detail: str) -> Problem:
        return Problem(self._clinic_id, sequence, kind, detail)
