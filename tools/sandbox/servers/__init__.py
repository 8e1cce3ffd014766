"""Real servers on this machine, without Docker and without root."""
