"""A simulated clinic network: its people, their sessions, and the clients that submit them to Attune."""
