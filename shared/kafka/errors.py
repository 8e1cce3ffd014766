"""The one place that translates what aiokafka raises."""

from collections.abc import Iterator
from contextlib import contextmanager

from aiokafka.errors import GroupCoordinatorNotAvailableError, KafkaError, MessageSizeTooLargeError

from shared.errors import BrokerUnavailable


class NoConsumerGroups(BrokerUnavailable):
    """Kafka has no consumer groups yet: no group has committed anything."""


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise BrokerUnavailable, a transient error, in place of aiokafka's.

    A message that is too large passes as it is: waiting does not make it smaller, so the mistake is in our code.
    """
    try:
        yield
    except MessageSizeTooLargeError:
        raise
    except GroupCoordinatorNotAvailableError as error:
        raise NoConsumerGroups(str(error)) from error
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(f"{type(error).__name__}: {error}") from error
