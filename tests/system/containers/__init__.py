"""Attune in containers: the simulated clinic network among them, and the proof that they do what they are for."""
