"""Whoever does the same work: each is a process of its own that takes the topics until it is stopped."""
