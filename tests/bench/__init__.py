"""Measurements of cost: commands that print it, and cheap tests that it does not grow."""
