"""Signing in, out and up with a browser: the pages, and what those get who are not signed in."""
