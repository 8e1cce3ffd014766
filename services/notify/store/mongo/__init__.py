"""The stores of notify in MongoDB: alerts and what they are derived from, and deliveries."""

from services.notify.store.mongo.alerts import ALERTS, MongoStore
from services.notify.store.mongo.deliveries import MongoDeliveryStore

__all__ = ["ALERTS", "MongoDeliveryStore", "MongoStore"]
