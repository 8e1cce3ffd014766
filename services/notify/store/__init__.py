"""What notify must remember: what a store promises (`protocol.py`), in MongoDB (`mongo/`) and in memory."""

from services.notify.store.protocol import ClaimedDelivery, DeliveryStore, Store

__all__ = ["ClaimedDelivery", "DeliveryStore", "Store"]
