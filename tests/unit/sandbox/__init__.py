"""Tests of the simulated clinic network and the demo."""
