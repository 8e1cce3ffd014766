"""Events in, alliance out: no I/O, no clock, no randomness."""
