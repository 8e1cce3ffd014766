"""What happens with a batch of events."""
