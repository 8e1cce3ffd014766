"""What intake must remember."""
