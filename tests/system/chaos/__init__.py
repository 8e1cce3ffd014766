"""Chaos test: inject faults into the whole system under load, then check that no event was lost or duplicated."""
