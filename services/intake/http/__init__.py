"""The API for the intake desk and clinic systems."""
