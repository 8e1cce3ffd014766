"""The moments at which a service can be hit exactly: around the steps of a batch, and of a write that owes an event.

They lie outside the services: the methods that make up a step are wrapped before the service starts. A process looks
for a file at each of them; when that names the moment, it takes the file away and sends itself the signal in it.
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
    """Just before, or just after, a method of a class."""

    when: Literal["before", "after"]
    module: str
    method: str
    """The class and its method, with a dot between."""


AFTER_WRITE = FaultPoint("after", "shared.outbox.documents", "Documents.change_once")
BEFORE_PUBLISH = FaultPoint("before", "shared.kafka.client", "Kafka.publish")
AFTER_PUBLISH = FaultPoint("after", "shared.kafka.client", "Kafka.publish")
BEFORE_COMMIT = FaultPoint("after", "shared.kafka.consumer", "Consumer._handle_batch")
AFTER_COMMIT = FaultPoint("after", "shared.kafka.consumer", "Consumer._on_message")

FAULT_POINTS: Mapping[str, Mapping[str, FaultPoint]] = {
    "intake": {"after the write": AFTER_WRITE, "before publishing": BEFORE_PUBLISH, "after publishing": AFTER_PUBLISH},
    "sessions": {
        "after the write": AFTER_WRITE,
        "before publishing": BEFORE_PUBLISH,
        "after publishing": AFTER_PUBLISH,
        "after the relationships": FaultPoint("after", "services.sessions.store.mongo", "Store.update_relationships"),
        "before the commit": BEFORE_COMMIT,
        "after the commit": AFTER_COMMIT,
    },
    "alliance": {
        "after the events": FaultPoint("after", "services.alliance.store.mongo", "MongoStore.append"),
        "after loading": FaultPoint("after", "services.alliance.store.mongo", "MongoStore.load"),
        "after the states": FaultPoint("after", "services.alliance.store.mongo", "MongoStore.save"),
        "after publishing": AFTER_PUBLISH,
        "before the commit": BEFORE_COMMIT,
        "after the commit": AFTER_COMMIT,
    },
    "notify": {
        "after the relationships": FaultPoint("after", "services.notify.store", "Store.save_relationships"),
        "after the alerts": FaultPoint("after", "services.notify.store", "Store.save_alerts"),
        "after planning deliveries": FaultPoint("after", "services.notify.store", "DeliveryStore.add"),
        "before publishing": BEFORE_PUBLISH,
        "before the commit": BEFORE_COMMIT,
        "after the commit": AFTER_COMMIT,
        "after an e-mail": FaultPoint("after", "services.notify.channels.email", "EmailChannel.send"),
        "after a webhook": FaultPoint("after", "services.notify.channels.webhook", "WebhookChannel.send"),
    },
}
"""By service, by what people call them."""


def install(service: str, trigger_file: Path) -> None:
    """Wrap what makes up the points of `service`; `armed` is the file they look for."""
    for name, point in FAULT_POINTS[service].items():
        owner_name, _, method = point.method.partition(".")
        owner = getattr(import_module(point.module), owner_name)
        setattr(owner, method, _wrap(getattr(owner, method), point.when, name, trigger_file))


def arm(trigger_file: Path, name: str, signal_to_send: signal.Signals) -> None:
    """Let the process that looks for `armed` hit itself at the point of this name, once."""
    temporary_file = trigger_file.with_suffix(".new")
    temporary_file.write_text(f"{name}\n{signal_to_send.name}")
    temporary_file.rename(trigger_file)


def _wrap(
    method: Callable[..., Awaitable[Any]], when: str, name: str, trigger_file: Path
) -> Callable[..., Awaitable[Any]]:
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
        with suppress(FileNotFoundError):  # disarmed just now
            trigger_file.unlink()
            os.kill(os.getpid(), signal.Signals[signal_name])
