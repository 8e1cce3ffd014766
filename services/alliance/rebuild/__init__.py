"""Rebuilding and verifying the view of alliance from the topics."""
