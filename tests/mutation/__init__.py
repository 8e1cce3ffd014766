"""Mutants of the alliance domain: small defects that the unit tests must notice."""
