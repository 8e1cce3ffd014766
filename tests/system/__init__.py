"""Tests of the whole running system: smoke test, fault injection, containers and operations."""
