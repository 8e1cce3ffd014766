"""Rebuilding and verifying a view from the topics, while its service runs."""
