"""The outbox: documents that are written together with their events, and the relay that publishes those events."""
