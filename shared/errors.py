"""What can go wrong, named for what is so; each says what happens next.

Two families: a *transient* error is tried again, a *permanent* one is set aside and told to its sender.
"""

from typing import Literal


class Transient(Exception):
    """It may work later. What failed is tried again, in order, until it does."""


class Permanent(Exception):
    """It will never work. It is set aside for a person, and the rest goes on."""


class StoreUnavailable(Transient):
    """The database does not answer. Whether the last write happened is not known; repeating it is safe."""


class BrokerUnavailable(Transient):
    """Kafka did not acknowledge. Whether the events arrived is not known; sending them again is safe."""


DecodeErrorCause = Literal["empty", "too_large", "not_json", "no_event", "schema", "future"]
"""Why a message cannot be read, in a word: nothing in it, more than any event has, not JSON, JSON that is no CloudEvent
of ours, an event that is not as its schema says, one that has yet to happen."""


class DecodeError(Permanent):
    """Nobody will ever be able to read this message. Its text says where and why, never what was in it."""

    def __init__(self, cause: DecodeErrorCause, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


class ConsumerMisconfigured(Exception):
    """Everything that arrives is unreadable: not the messages are wrong but the deployment. Consuming stops."""


class Rejected(Permanent):
    """What was asked for contradicts what is so; nothing was changed.

    `kind` is a short name for programs (`relationship-ended`); the text says what was wrong and what to do.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotFound(Rejected):
    """What was asked about is not known here."""
