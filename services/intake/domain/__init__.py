"""Pure decisions about clinics, people and relationships: no I/O, no clock, no randomness."""
