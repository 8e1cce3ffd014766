"""Attune on one machine: local servers, a simulated clinic network, and the demo. Services never import it."""
