"""What several of the system tests share."""
