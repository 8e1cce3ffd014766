"""Errors of two families.

A *transient* error is retried. A *permanent* one is dead-lettered, or reported to the sender.
"""

from typing import Literal


class Transient(Exception):
    """It may succeed later. The work is retried, in order, until it does."""


class Permanent(Exception):
    """It can never succeed. It is dead-lettered or reported to its sender, and the rest goes on."""


class StoreUnavailable(Transient):
    """The database does not answer. It is unknown whether the last write happened; repeating it is safe."""


class BrokerUnavailable(Transient):
    """Kafka did not acknowledge. It is unknown whether the events arrived; publishing them again is safe."""


DecodeErrorCause = Literal["empty", "too_large", "not_json", "no_event", "schema", "future"]
"""Why a message cannot be decoded: it is empty, larger than any event, not JSON, JSON but not an Attune CloudEvent,
not as the schema of its event requires, or an event that occurs in the future."""


class DecodeError(Permanent):
    """This message can never be decoded. The text names the field and the reason, never the content."""

    def __init__(self, cause: DecodeErrorCause, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


class ConsumerMisconfigured(Exception):
    """No message that arrives can be decoded: the deployment is wrong, not the messages. The consumer stops."""


class Rejected(Permanent):
    """The request contradicts the current state; nothing was changed.

    `code` is a short name for programs (`relationship-ended`); the text says what was wrong and what to do.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotFound(Rejected):
    """The request is about something that does not exist here."""
