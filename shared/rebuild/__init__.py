"""Rebuilding and verifying a view from the topics, while its service runs. `view.py` says what a service provides."""
