"""What alliance must remember."""
