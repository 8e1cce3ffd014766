"""The store of the sessions service."""
