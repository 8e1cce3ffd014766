"""Rebuilding and verifying the view of notify from the topics."""
