"""What sessions must remember."""
