"""Rebuilding and verifying the view of alliance: the events, the states and the dispositions in its database.

docs/adr/0010-rebuild.md explains how.
"""

from functools import partial

from services.alliance.domain.policy.policy import Policies
from services.alliance.rebuild.view import AllianceView
from services.alliance.settings import Settings
from services.alliance.subscriptions import CONSUMED_EVENTS
from shared.events.topics import CONSUMED_TOPICS
from shared.rebuild.view import CreateView, ViewResources, ViewSource

VIEW_SOURCE = ViewSource("alliance", CONSUMED_TOPICS["alliance"], CONSUMED_EVENTS, "alliances_rebuilt")


def view_factory(settings: Settings, policies: Policies) -> CreateView:
    """Creates the view, whose states depend on `policies`."""
    return partial(_create_view, settings.kafka_bootstrap_servers, policies)


def _create_view(servers: str, policies: Policies, resources: ViewResources) -> AllianceView:
    return AllianceView(servers, policies, resources.mongo, resources.publish)
