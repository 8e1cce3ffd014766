"""A chain of audit lines, as pure functions: one for each service and clinic.

Nothing here does I/O, reads a clock or draws a random number. The entries of a chain have the sequence 1, 2, 3, ... The
MAC of each covers its line, its sequence and the MAC of the entry before. Who has no key can neither make an entry nor
change, insert, reorder or remove one without a trace; only the end of a chain can be cut off. So the head, the last
entry's sequence and MAC, is written down elsewhere again and again.
"""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from shared.access.clinic_id import ClinicId
from shared.audit.keys import AuditKey
from shared.audit.line import AuditLine, canonical_bytes

NO_MAC = "0" * 64
"""Stands in the first entry for the MAC of the one before."""


@dataclass(frozen=True)
class Head:
    """The end of a clinic's chain."""

    clinic_id: ClinicId
    sequence: int = 0
    mac: str = NO_MAC


@dataclass(frozen=True)
class AuditEntry:
    """A line with its place in the chain."""

    line: AuditLine
    sequence: int
    previous_mac: str
    """In hexadecimal, as the MAC."""
    key_id: str
    mac: str

    @property
    def head(self) -> Head:
        """The end of the chain as long as this is its last entry."""
        return Head(self.line.clinic_id, self.sequence, self.mac)


def extend(head: Head, lines: Sequence[AuditLine], key: AuditKey) -> list[AuditEntry]:
    """The entries that continue a chain with `lines`."""
    entries = []
    for line in lines:
        sequence = head.sequence + 1
        mac = compute_mac(line, sequence, head.mac, key)
        entries.append(AuditEntry(line, sequence, head.mac, key.id, mac))
        head = entries[-1].head
    return entries


def compute_mac(line: AuditLine, sequence: int, previous_mac: str, key: AuditKey) -> str:
    """The MAC of an entry. No field but the last contains a line break, so different entries never give the same."""
    header = f"attune-audit-1\n{key.id}\n{sequence}\n{previous_mac}\n"
    return hmac.digest(key.secret, header.encode() + canonical_bytes(line), sha256).hex()
