"""What is known of one relationship, and the events of its history."""
