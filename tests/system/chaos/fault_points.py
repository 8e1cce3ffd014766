"""Fault points: the exact steps at which a service can be killed or paused, around the steps of a batch or a write.

They are installed from outside: the methods of a step are wrapped before the service starts. At each fault point the
process looks for its trigger file. If the file names this fault point, the process deletes the file and sends itself
the signal that the file contains.
"""

import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class FaultPoint:
    """A step just before or just after a method of a class."""

    when: Literal["before", "after"]
    module: str
    method: str
    """As `Class.method`."""


AFTER_WRITE = FaultPoint("after", "shared.outbox.documents", "Documents.change_once")
BEFORE_PUBLISH = FaultPoint("before", "shared.kafka.client", "Kafka.send")
AFTER_PUBLISH = FaultPoint("after", "shared.kafka.client", "Kafka.send")
BEFORE_COMMIT = FaultPoint("after", "shared.kafka.consumer", "Consumer.handle_batch")
AFTER_COMMIT = FaultPoint("after", "shared.kafka.subscriber", "CommittingSubscriber.commit")

FAULT_POINTS: Mapping[str, Mapping[str, FaultPoint]] = {
    "intake": {"after the write": AFTER_WRITE, "before publishing": BEFORE_PUBLISH, "after publishing": AFTER_PUBLISH},
    "sessions": {
        "after the write": AFTER_WRITE,
        "before publishing": BEFORE_PUBLISH,
        "after publishing": AFTER_PUBLISH,
        "after updating the projection": FaultPoint(
            "after", "services.sessions.store.mongo", "MongoStore.update_relationships"
        ),
        "before the commit": BEFORE_COMMIT,
        "after the commit": AFTER_COMMIT,
    },
    "alliance": {
        "after appending the events": FaultPoint("after", "services.alliance.store.mongo", "MongoStore.append"),
        "after loading the states": FaultPoint("after", "services.alliance.store.mongo", "MongoStore.load"),
        "after saving the states": FaultPoint("after", "services.alliance.store.mongo", "MongoStore.save"),
        "after publishing": AFTER_PUBLISH,
        "before the commit": BEFORE_COMMIT,
        "after the commit": AFTER_COMMIT,
    },
    "notify": {
        "after saving the relationships": FaultPoint(
            "after", "services.notify.store.mongo", "MongoStore.save_relationships"
        ),
        "after saving the alerts": FaultPoint("after", "services.notify.store.mongo", "MongoStore.save_alerts"),
        "after planning deliveries": FaultPoint("after", "services.notify.store.mongo", "MongoDeliveryStore.add"),
        "before publishing": BEFORE_PUBLISH,
        "before the commit": BEFORE_COMMIT,
        "after the commit": AFTER_COMMIT,
        "after an e-mail": FaultPoint("after", "services.notify.channels.email", "EmailChannel.send"),
        "after a webhook": FaultPoint("after", "services.notify.channels.webhook", "WebhookChannel.send"),
    },
}
"""By service and name."""


def install(service: str, trigger_file: Path) -> None:
    """Install the fault points of `service`; they look for `trigger_file`."""
    for name, point in FAULT_POINTS[service].items():
        owner_name, _, method = point.method.partition(".")
        owner = getattr(import_module(point.module), owner_name)
        setattr(owner, method, wrap(getattr(owner, method), point.when, name, trigger_file))


def arm(trigger_file: Path, name: str, signal_to_send: signal.Signals) -> None:
    """Make the process that looks for `trigger_file` send itself the signal at the named fault point, once."""
    temporary_file = trigger_file.with_suffix(".new")
    temporary_file.write_text(f"{name}\n{signal_to_send.name}")
    temporary_file.rename(trigger_file)


def wrap(
    method: Callable[..., Awaitable[Any]], when: str, name: str, trigger_file: Path
) -> Callable[..., Awaitable[Any]]:
    """The method with a fault point before or after it."""

    @wraps(method)
    async def step(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            _trigger(trigger_file, name)
        result = await method(*args, **kwargs)
        if when == "after":
            _trigger(trigger_file, name)
        return result

    return step


def _trigger(trigger_file: Path, name: str) -> None:
    try:
        armed_name, signal_name = trigger_file.read_text().splitlines()
    except FileNotFoundError:
        return
    if armed_name == name:
        with suppress(FileNotFoundError):  # disarmed meanwhile
            trigger_file.unlink()
            os.kill(os.getpid(), signal.Signals[signal_name])
