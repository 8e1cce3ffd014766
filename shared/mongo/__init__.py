"""Access to MongoDB."""
