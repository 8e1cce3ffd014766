"""Who works at a clinic, as every service knows it: folded from the events that intake publishes."""
