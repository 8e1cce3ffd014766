"""The audit, as far as it needs no database."""
