"""Pure decisions about sessions and feedback: no I/O, no clock, no randomness."""
