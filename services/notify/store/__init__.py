"""What notify stores in MongoDB: its view of the events (`alerts.py`) and its deliveries (`deliveries.py`)."""

from services.notify.store.alerts import ALERTS, Store, Versioned
from services.notify.store.deliveries import ClaimedDelivery, DeliveryStore

__all__ = ["ALERTS", "ClaimedDelivery", "DeliveryStore", "Store", "Versioned"]
