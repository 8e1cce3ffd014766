"""Rebuilding and verifying the view of notify: relationships, alerts, clinicians and staff.

Channels and deliveries are not derived from the topics and stay as they are. The id of a delivery follows from its
alert, so no message is sent twice. docs/adr/0010-rebuild.md explains how.
"""

from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from prometheus_client import CollectorRegistry

from services.notify.delivery.planner import DeliveryPlanner
from services.notify.domain.projection import DISPOSITION_EVENTS
from services.notify.rebuild.view import NotifyView
from services.notify.settings import Settings
from services.notify.store.mongo import ALERTS, MongoDeliveryStore, MongoStore
from services.notify.subscriptions import CONSUMED_EVENTS
from shared.events.topics import ALERTS as ALERTS_TOPIC
from shared.events.topics import CONSUMED_TOPICS
from shared.kafka.producer import Message
from shared.outbox.metrics import OutboxMetrics
from shared.outbox.relay import Outbox
from shared.rebuild.view import CreateView, ViewResources, ViewSource
from shared.runtime.clock import now

# What clinicians decided about alerts comes back from the topic on which notify itself publishes it.
VIEW_SOURCE = ViewSource(
    "notify",
    (*CONSUMED_TOPICS["notify"], ALERTS_TOPIC),
    (*CONSUMED_EVENTS, *DISPOSITION_EVENTS),
    "rebuilt",
)


def view_factory(settings: Settings) -> CreateView:
    """Creates the view; `settings` decide about which alerts messages are sent."""
    return partial(_create_view, settings)


def _create_view(settings: Settings, resources: ViewResources) -> NotifyView:
    """A view that saves alerts and plans deliveries; the running service sends them."""
    mongo = resources.mongo
    store = MongoStore(mongo, Outbox(_send_nothing, [mongo[ALERTS]], OutboxMetrics(CollectorRegistry()), now), now)
    planner = DeliveryPlanner(store, MongoDeliveryStore(mongo), now, timedelta(days=settings.notify_within_days))
    return NotifyView(resources, store, planner, timedelta(days=settings.alert_retention_days))


async def _send_nothing(_messages: Sequence[Message]) -> None:
    """Never called: a rebuild changes alerts without events of its own."""
