"""When a consumer no longer dead-letters, because not the messages are wrong but this deployment: pure rules.

Each process counts for itself, and starts at 0.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from shared.kafka.dead_letters.record import Origin

MAX_UNDECODABLE_MESSAGES = 200
"""More messages in a row that cannot be decoded may mean that the deployment is broken..."""
UNDECODABLE_PERIOD = timedelta(minutes=5)
"""...if they arrive over so long a time. One burst is one sender's mistake, and must not stop every clinic."""

MAX_HANDLING_FAILURES = 20
"""More events that cannot be handled mean that this release has a bug..."""
HANDLING_FAILURE_PERIOD = timedelta(minutes=10)
"""...if they arrive within so long a time. It must not move whole topics to the dead letters."""


@dataclass(frozen=True, slots=True)
class UndecodableStreak:
    """The messages that could not be decoded since the last one that could, on any partition of this process."""

    messages: int = 0
    began_at: datetime | None = None

    def extend(self, events: int, undecodable: int, now: datetime) -> "UndecodableStreak":
        """The streak after one more batch. An event anywhere in it ends the streak; skipped messages show nothing."""
        if events:
            return UndecodableStreak()
        if not undecodable:
            return self
        return replace(self, messages=self.messages + undecodable, began_at=self.began_at or now)

    def shows_broken_deployment(self, now: datetime) -> bool:
        """Whether too many messages could not be decoded over too long a time."""
        return (
            self.messages > MAX_UNDECODABLE_MESSAGES
            and self.began_at is not None
            and now - self.began_at >= UNDECODABLE_PERIOD
        )


@dataclass(slots=True)
class HandlingFailures:
    """The events that were dead-lettered lately because they could not be handled."""

    _failed_at: dict[Origin, datetime] = field(default_factory=dict)

    def admit(self, origin: Origin, now: datetime, is_standing_still: bool) -> bool:
        """Whether the event at `origin` may be dead-lettered as well. One that is delivered again counts once.

        While a partition stands still, no other one may, however long that takes: slowly, a release with a bug would
        still move whole topics to the dead letters.
        """
        self._failed_at = {o: at for o, at in self._failed_at.items() if now - at < HANDLING_FAILURE_PERIOD}
        if origin in self._failed_at:
            return True
        if is_standing_still or len(self._failed_at) >= MAX_HANDLING_FAILURES:
            return False
        self._failed_at[origin] = now
        return True
