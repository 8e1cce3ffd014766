"""Errors of two families: *transient* ones may pass, *permanent* ones do not.

Who catches them decides what happens next:

- A consumer dead-letters a message with a DecodeError. It retries a batch whose handling fails with a Transient error
  for as long as it takes. After every other error it looks for the event that causes it, and dead-letters that.
- The HTTP API answers Transient with 503, NotFound with 404, Forbidden with 403, Invalid with 422 and every other
  Rejected with 409.
- A timer retries its task after every error.
"""

from typing import Literal


class Transient(Exception):
    """It may succeed later. Consumers and timers retry until it does; the sender of an HTTP request is told to."""


class Busy(Transient):
    """As much of this work is going on as this process may do at a time. The sender is told to come back."""


class Permanent(Exception):
    """Repeating it cannot help. What is done instead is said at each subclass."""


def describe(error: BaseException) -> str:
    """What a log may say about an error: its type, and the text of our own errors.

    The text of any other may hold what somebody answered or a name: that of a KeyError is the key.
    """
    is_ours = isinstance(error, Transient | Permanent)
    return f"{type(error).__name__}: {error}" if is_ours else type(error).__name__


class StoreUnavailable(Transient):
    """The database does not answer. It is unknown whether the last write happened; repeating it is safe."""


class BrokerUnavailable(Transient):
    """Kafka did not acknowledge. It is unknown whether the events arrived; publishing them again is safe."""


DecodeErrorCause = Literal["empty", "too_large", "not_json", "no_event", "schema", "future"]
"""Why a message cannot be decoded: it is empty, larger than any event, not JSON, JSON but not an Attune CloudEvent,
not as the schema of its event requires, or an event that occurs in the future."""


class DecodeError(Permanent):
    """This version cannot decode this message. A consumer dead-letters it and handles the rest of the batch.

    The text names the field and the reason, never the content.
    """

    def __init__(self, cause: DecodeErrorCause, reason: str) -> None:
        super().__init__(reason)
        self.cause = cause


DeadLetterCause = Literal[DecodeErrorCause, "handling", "skipped"]
"""Why a message is dead-lettered: it cannot be decoded, its handling fails, or an operator skipped it."""


class HandlingError(Permanent):
    """The handling of this event alone fails with an error that is not transient. A consumer dead-letters the event.

    The text is the type of that error: its own text may contain what somebody answered.
    """

    cause: Literal["handling"] = "handling"

    def __init__(self, error: Exception) -> None:
        super().__init__(f"handling failed: {type(error).__name__}")


class Skipped(Permanent):
    """An operator moved a consumer past this message, which the consumer has neither handled nor dead-lettered."""

    cause: Literal["skipped"] = "skipped"

    def __init__(self) -> None:
        super().__init__("message: was skipped by an operator")


class ConsumerMisconfigured(Exception):
    """No message that arrives can be decoded: the deployment is wrong, not the messages. The consumer stops."""


class Rejected(Permanent):
    """The request contradicts the current state; nothing was changed. It is reported to its sender.

    `code` is a short name for programs (`relationship-ended`); the text says what was wrong and what to do.
    """

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class NotFound(Rejected):
    """The request is about something that does not exist here."""


class Invalid(Rejected):
    """The request breaks a rule that no other state would change: it must be corrected, not sent later."""


class IdTaken(Rejected):
    """Another clinic holds the id under which a record was to be added. The answer is the same for every id."""

    def __init__(self) -> None:
        super().__init__("id-taken", "This id cannot be used. Choose another one, for example a random UUID.")


class Forbidden(Rejected):
    """No role or scope of the sender allows this, whatever it is about. Nothing was looked up or changed."""

    def __init__(self) -> None:
        super().__init__(
            "forbidden", "No role or scope of yours allows this. An administrator of your clinic assigns both."
        )
