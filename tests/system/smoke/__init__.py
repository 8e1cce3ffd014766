"""Smoke test: start the whole system, use it, send it invalid input, stop it, and check it from outside."""
