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
class Point:
    """Just before, or just after, a method of a class."""

    when: Literal["before", "after"]
    module: str
    method: str
    """The class and its method, with a dot between."""


WRITTEN = Point("after", "shared.outbox.documents", "Documents.change_once")
TELLING = Point("before", "shared.kafka.client", "Kafka.tell")
TOLD = Point("after", "shared.kafka.client", "Kafka.tell")
COMMITTING = Point("after", "shared.kafka.consumer", "Consumer._take")
COMMITTED = Point("after", "shared.kafka.consumer", "Consumer._handle")

POINTS: Mapping[str, Mapping[str, Point]] = {
    "intake": {"after the write": WRITTEN, "before telling": TELLING, "after telling": TOLD},
    "sessions": {
        "after the write": WRITTEN,
        "before telling": TELLING,
        "after telling": TOLD,
        "after learning": Point("after", "services.sessions.store.mongo", "Store.learn"),
        "before the commit": COMMITTING,
        "after the commit": COMMITTED,
    },
    "alliance": {
        "after the facts": Point("after", "services.alliance.store.mongo", "MongoStore.remember"),
        "after reading": Point("after", "services.alliance.store.mongo", "MongoStore.recall"),
        "after the states": Point("after", "services.alliance.store.mongo", "MongoStore.keep"),
        "after telling": TOLD,
        "before the commit": COMMITTING,
        "after the commit": COMMITTED,
    },
    "notify": {
        "after the relationships": Point("after", "services.notify.store", "Store.keep_relationships"),
        "after the alerts": Point("after", "services.notify.store", "Store.keep_alerts"),
        "after owing": Point("after", "services.notify.store", "Deliveries.owe"),
        "before telling": TELLING,
        "before the commit": COMMITTING,
        "after the commit": COMMITTED,
        "after an e-mail": Point("after", "services.notify.channels.email", "Email.send"),
        "after a webhook": Point("after", "services.notify.channels.webhook", "Webhook.send"),
    },
}
"""By service, by what people call them."""


def install(service: str, trigger_file: Path) -> None:
    """Wrap what makes up the points of `service`; `armed` is the file they look for."""
    for name, point in POINTS[service].items():
        owner_name, _, method = point.method.partition(".")
        owner = getattr(import_module(point.module), owner_name)
        setattr(owner, method, _hit(getattr(owner, method), point.when, name, trigger_file))


def arm(trigger_file: Path, name: str, how: signal.Signals) -> None:
    """Let the process that looks for `armed` hit itself at the point of this name, once."""
    temporary_file = trigger_file.with_suffix(".new")
    temporary_file.write_text(f"{name}\n{how.name}")
    temporary_file.rename(trigger_file)


def _hit(
    method: Callable[..., Awaitable[Any]], when: str, name: str, trigger_file: Path
) -> Callable[..., Awaitable[Any]]:
    @wraps(method)
    async def step(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            _look(trigger_file, name)
        result = await method(*args, **kwargs)
        if when == "after":
            _look(trigger_file, name)
        return result

    return step


def _look(trigger_file: Path, name: str) -> None:
    try:
        armed_name, signal_name = trigger_file.read_text().splitlines()
    except FileNotFoundError:
        return
    if armed_name == name:
        with suppress(FileNotFoundError):  # disarmed just now
            trigger_file.unlink()
            os.kill(os.getpid(), signal.Signals[signal_name])
