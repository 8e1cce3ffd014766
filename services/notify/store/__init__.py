"""What notify needs remembered: what it heard (`alerts.py`), and what it owes (`deliveries.py`)."""

from services.notify.store.alerts import ALERTS, Store, Versioned
from services.notify.store.deliveries import ClaimedDelivery, DeliveryStore

__all__ = ["ALERTS", "ClaimedDelivery", "DeliveryStore", "Store", "Versioned"]
