"""What several of the system tests need, once."""
