"""The one way to reach MongoDB."""
