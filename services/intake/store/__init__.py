"""The store of the intake service."""
