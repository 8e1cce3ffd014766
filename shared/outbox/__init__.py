"""Documents that are written together with the events that follow, and the relay that publishes those events."""
