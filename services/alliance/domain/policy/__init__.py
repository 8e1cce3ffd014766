"""The thresholds, and what a clinic's history leads to expect."""
