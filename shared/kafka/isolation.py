"""Finding the events of a batch that cannot be handled, so that the others can.

The handler says only that a batch failed. So the batch is halved until the failing events are alone. That costs about
two calls per halving and failing event, and only after a failure: otherwise a batch is handled in one call. The handler
is idempotent and independent of batching, so handling events again does no harm.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic

from aiokafka import ConsumerRecord, TopicPartition

from shared.errors import HandlingError, Transient
from shared.events import EventT
from shared.kafka.dead_letters.record import DeadLetter, Origin


@dataclass(frozen=True, slots=True)
class Received(Generic[EventT]):
    """An event, and the record that it was decoded from."""

    record: ConsumerRecord
    event: EventT

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)


class Isolation(Generic[EventT]):
    """Handles events alone if they cannot be handled together."""

    def __init__(
        self, handle: Callable[[Sequence[EventT]], Awaitable[None]], may_dead_letter: Callable[[Origin], bool]
    ) -> None:
        self.dead_letters: list[DeadLetter] = []
        """The events that cannot be handled, and may be dead-lettered."""
        self.stalled: dict[TopicPartition, DeadLetter] = {}
        """By partition, the first event that cannot be handled and may not be dead-lettered."""
        self._handle = handle
        self._may_dead_letter = may_dead_letter

    async def run(self, received: Sequence[Received[EventT]]) -> None:
        """Handle all that can be handled, except what is behind a stalled event. Raises Transient."""
        received = [one for one in received if one.partition not in self.stalled]
        if not received:
            return
        try:
            await self._handle([one.event for one in received])
        except Transient:
            raise
        except Exception as error:
            if len(received) == 1:
                self._reject(received[0], DeadLetter(received[0].record, HandlingError(error)))
                return
            middle = len(received) // 2
            await self.run(received[:middle])
            await self.run(received[middle:])

    def _reject(self, received: Received[EventT], dead_letter: DeadLetter) -> None:
        if self._may_dead_letter(dead_letter.origin):
            self.dead_letters.append(dead_letter)
        else:
            self.stalled[received.partition] = dead_letter
