"""What a session is, what may happen to it, and what follows; pure."""
