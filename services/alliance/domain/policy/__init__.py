"""The thresholds of a clinic, and the prior that its history suggests."""
