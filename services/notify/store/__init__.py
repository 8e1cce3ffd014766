"""What notify needs remembered: what it heard (`alerts.py`), and what it owes (`deliveries.py`)."""

from services.notify.store.alerts import ALERTS, Kept, Store
from services.notify.store.deliveries import Claimed, Deliveries

__all__ = ["ALERTS", "Claimed", "Deliveries", "Kept", "Store"]
