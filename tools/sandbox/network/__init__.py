"""A clinic network that does not exist: its people, their sessions, and clients that tell Attune of them."""
