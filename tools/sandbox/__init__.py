"""Attune on one machine: local servers, a simulated clinic network, and the demo. Nothing here ships."""
